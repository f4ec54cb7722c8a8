"""Recording what nodes' cores take in and give out, in memory or straight to a file.

Knows a core by its inputs and outputs; no rule of Raft. What a line looks like is
`trace_codec`; going through it all again is `trace_replay`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir
from types import TracebackType
from typing import BinaryIO, Optional, Self, Union

from msgspec import structs

from consensual.raft.core.effects import Effects
from consensual.raft.core.events import Event
from consensual.raft.core.state import State
from consensual.raft.driver.recording import Beginning, Recorder
from consensual.testing.trace_codec import (
    Begin,
    FilePath,
    InvalidTrace,
    LoadedTrace,
    Note,
    Record,
    Step,
    Take,
    digest_of,
    encode_header,
    encode_record,
    load,
)
from consensual.testing.trace_replay import Divergence, Moment, Replay, replay

Life = tuple[str, int]
"""A node's name and the number of its life in the trace, from 1 on."""

_NOBODY: Life = '', 0
_Item = tuple[Life, Union[Beginning, Event, Effects, str], float]


class TraceIncomplete(Exception):
    """A trace could not be written to its end; the cause says why."""


class Trace:
    """The records of any number of nodes, in memory, in the order in which they were made.

    Recording costs a tuple and an append; what was recorded is encoded when the trace
    is read or saved. Recording in virtual time and saving gives the same bytes for the
    same seeds. Iterate over it to get the records. For one thread.
    """

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._lives: dict[str, int] = {}

    def __repr__(self) -> str:
        return f'Trace({len(self)} records of {len(self._lives)} nodes)'

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Record]:
        for life, what, now in tuple(self._items):
            match what:
                case str() as text:
                    yield Note(now, text)
                case Beginning() as beginning:
                    yield Begin(*life, beginning)
                case Effects() as effects:
                    yield Take(*life, now, digest_of(effects))
                case event:
                    yield Step(*life, now, event)

    def recorder(self, node: str) -> Recorder:
        """Return a recorder for that node, to be given to `Node.from_url(…, recorder=…)`.

        node: the name that the records get; the node's id, or a shorter one.

        Every start of the node is another life of it, also by another recorder: give a
        node that is made anew after a crash a recorder of its own.
        """
        return _Recorder(self._items, self._lives, node)

    def note(self, text: str, at: float) -> None:
        """Add something to be read between the records, such as a fault of the network.

        at: seconds of the clock that the nodes live by.
        """
        self._items.append((_NOBODY, text, at))

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the file, with their ends.

        Raises `ValueError`, `TypeError` or `OverflowError` for a record that JSON cannot carry.
        """
        yield encode_header() + b'\n'
        for record in self:
            yield encode_record(record) + b'\n'

    def text(self) -> str:
        """Return all lines. Raises as `lines` does."""
        return b''.join(self.lines()).decode()

    def save(self, path: FilePath) -> None:
        """Write the trace to a file, in place of what is there.

        Raises `OSError`, and what `lines` does.
        """
        with Path(path).open('wb') as file:
            file.writelines(self.lines())


def leave(trace: Trace, name: str) -> str:
    """Save the trace of what failed; return the sentence that says how to replay it.

    It is put into the folder that the environment's CONSENSUAL_TRACES names, else into
    one for temporary files.

    name: of the file. Never raises: what failed is to be shown, whatever else fails.
    """
    folder = os.environ.get('CONSENSUAL_TRACES') or f'{gettempdir()}/consensual-traces'
    path = Path(folder) / f'{name}.trace'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        trace.save(path)
    except (OSError, ValueError, TypeError, OverflowError) as error:
        return f'its trace could not be saved: {error}'
    return f'replay it: python -m consensual replay {path}'


class _Recorder:
    """Records one life after another of a node into a trace's items."""

    __slots__ = '_items', '_life', '_lives', '_node'

    def __init__(self, items: list[_Item], lives: dict[str, int], node: str) -> None:
        self._items, self._lives, self._node = items, lives, node
        self._life = _NOBODY

    def begin(self, beginning: Beginning, state: State) -> None:  # noqa: ARG002 - Recorder
        number = self._lives[self._node] = self._lives.get(self._node, 0) + 1
        self._life = self._node, number
        self._items.append((self._life, _kept(beginning), beginning.now))

    def step(self, event: Event, now: float) -> None:
        self._items.append((self._life, event, now))

    def take(self, effects: Effects, now: float) -> None:
        # a reference will do: the driver reads effects, and the core makes new ones each time
        self._items.append((self._life, effects, now))


def _kept(beginning: Beginning) -> Beginning:
    """Return a copy that a storage which goes on using its list does not change."""
    stored = beginning.stored
    if stored is None:
        return beginning
    return structs.replace(beginning, stored=structs.replace(stored, entries=[*stored.entries]))


class TraceRecorder:
    """Writes what one node's core takes in and gives out to a file, as it happens.

    Give it to `Node.from_url(…, recorder=…)`, and close it after the node was stopped:
    it is a context manager. The file may be replayed at any time, also after a crash;
    what was taken in after the last outputs may be missing then. Every start of the
    node is another life in the same file.

    path: of the file to be made.
    overwrite: replace an existing file.

    Raises `FileExistsError` unless told to overwrite, and other `OSError` when the file
    cannot be made. An error of writing does not disturb the node: recording ends with
    it, and `close` raises it.
    """

    def __init__(self, path: FilePath, *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.error: Optional[TraceIncomplete] = None
        self._life = _NOBODY
        self._written = 0
        try:
            file = self.path.open('wb' if overwrite else 'xb')
        except FileExistsError as error:
            raise FileExistsError(
                error.errno,
                'there is a file already: name another one, or give overwrite=True to replace it',
                str(path),
            ) from None
        self._file: Optional[BinaryIO] = file
        self._write(encode_header, is_flushed=True)

    def __repr__(self) -> str:
        return f'TraceRecorder({str(self.path)!r}, {self._written} lines)'

    def begin(self, beginning: Beginning, state: State) -> None:  # noqa: ARG002 - Recorder
        """See `Recorder.begin`."""
        node, number = self._life
        id_ = beginning.address.id
        if number and id_ != node:
            return self._fail(ValueError(f'{id_} began in the file of {node}: give it its own'))
        self._life = id_, number + 1
        self._write(lambda: encode_record(Begin(*self._life, beginning)))

    def step(self, event: Event, now: float) -> None:
        """See `Recorder.step`."""
        self._write(lambda: encode_record(Step(*self._life, now, event)))

    def take(self, effects: Effects, now: float) -> None:
        """See `Recorder.take`."""
        self._write(
            lambda: encode_record(Take(*self._life, now, digest_of(effects))), is_flushed=True
        )

    def close(self) -> None:
        """End the recording; closed already, do nothing.

        Raises `TraceIncomplete`, once, when not everything could be written.
        """
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                self._fail(error)
            else:
                self._file.close()
                self._file = None
        incomplete, self.error = self.error, None
        if incomplete is not None:
            raise incomplete

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        try:
            self.close()
        except TraceIncomplete:
            if error is None:
                raise

    def _write(self, make_line: Callable[[], bytes], *, is_flushed: bool = False) -> None:
        if self._file is None:
            return
        try:
            self._file.write(make_line() + b'\n')
            if is_flushed:
                self._file.flush()
        except (OSError, ValueError, TypeError, OverflowError) as error:
            return self._fail(error)
        self._written += 1

    def _fail(self, error: Exception) -> None:
        """Record no more: what came after a gap could not be replayed."""
        file, self._file = self._file, None
        if self.error is not None or file is None:
            return
        self.error = TraceIncomplete(
            f'{self.path} ends after about {self._written} lines, which can be replayed; '
            f'no more could be written: {error}'
        )
        self.error.__cause__ = error
        with suppress(OSError):  # the same once more; it is closed all the same
            file.close()


__all__ = [
    'Begin',
    'Divergence',
    'InvalidTrace',
    'LoadedTrace',
    'Moment',
    'Note',
    'Record',
    'Replay',
    'Step',
    'Take',
    'Trace',
    'TraceIncomplete',
    'TraceRecorder',
    'load',
    'replay',
]
