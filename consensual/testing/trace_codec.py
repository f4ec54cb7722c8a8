"""A trace's lines: what went into cores and what came out of them, as JSON.

Shapes and validation only; what is recorded when is `trace`.
"""

from collections.abc import Callable, Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any, Final, Union, get_args
from zlib import crc32

import msgspec
from msgspec import Meta, Raw, Struct

from consensual import __version__
from consensual.raft.core.effects import Effects
from consensual.raft.core.events import Event, Failed, Received, Replied
from consensual.raft.core.messages import KINDS, REQUEST_TYPES, MessageKind, Reply, Request
from consensual.raft.driver.recording import Beginning

FORMAT, FORMAT_VERSION = 'consensual-trace', 1

FIRST_LINE: Final = 2
"""The line of the first record; the one before it is the header."""

FilePath = Union[str, 'PathLike[str]']

LifeNumber = Annotated[int, Meta(ge=1)]
Digest = Annotated[str, Meta(pattern='^([0-9a-f]{8})$')]


class InvalidTrace(ValueError):
    """A trace is broken, or is none; the text says where, and what to do.

    path: of the file; '' for records that come from none.
    line: its number, from 1 on.
    """

    def __init__(self, path: FilePath, line: int, problem: str) -> None:
        self.path, self.line, self.problem = fspath(path), line, problem
        place = f'{self.path}, line {line}' if self.path else f'line {line}'
        super().__init__(f'{place}: {problem}')


class Begin(Struct, frozen=True, tag='begin', tag_field='record'):
    """A core begins: one life of a node.

    life: 1 for the first of that node in the trace.
    """

    node: str
    life: LifeNumber
    beginning: Beginning

    @property
    def now(self) -> float:
        """When, in seconds of the node's own clock."""
        return self.beginning.now


class Step(Struct, frozen=True, tag='step', tag_field='record'):
    """An input of a core.

    now: seconds of the node's own clock.
    """

    node: str
    life: LifeNumber
    now: float
    event: Event


class Take(Struct, frozen=True, tag='take', tag_field='record'):
    """The outputs of a core were taken.

    now: seconds of the node's own clock.
    digest: see `digest_of`.
    """

    node: str
    life: LifeNumber
    now: float
    digest: Digest


class Note(Struct, frozen=True, tag='note', tag_field='record'):
    """Something that whoever wrote the trace has to say, such as a fault of the network.

    now: seconds of the writer's clock.
    """

    now: float
    text: str


Record = Union[Begin, Step, Take, Note]


def digest_of(effects: Effects) -> str:
    """Return eight hexadecimal digits that differ, most probably, for other effects."""
    return f'{crc32(_encode(effects)):08x}'


def encode_header() -> bytes:
    """Return the first line; it tells which library wrote the trace, and nothing else."""
    return _encode(_Header(FORMAT, FORMAT_VERSION, __version__))


def decode_header(line: bytes) -> str:
    """Return the version of the library that wrote the trace.

    Raises `ValueError` for the first line of anything else.
    """
    try:
        header = _decode_header(line)
    except (ValueError, RecursionError):
        header = None
    if header is None or header.format != FORMAT:
        raise ValueError(
            'this is no trace of consensual; give a file that Trace.save() or TraceRecorder wrote'
        )
    if header.version != FORMAT_VERSION:
        raise ValueError(
            f'the trace has version {header.version} of the format, and consensual {__version__} '
            f'reads version {FORMAT_VERSION}; replay it with consensual {header.library}'
        )
    return header.library


def encode_record(record: Record) -> bytes:
    """Return the record's line, without its end.

    Raises `ValueError`, `TypeError` or `OverflowError` for what JSON cannot carry.
    """
    if type(record) is Step and (wrap := _WRAPPERS.get(type(record.event))) is not None:
        return _encode(_StepLine(record.node, record.life, record.now, wrap(record.event)))
    return _encode(record)


def decode_record(line: bytes) -> Record:
    """Validate a line and return its record. Raises `ValueError` for what is none."""
    try:
        record = _decode_record(line)
        if isinstance(record, _StepLine):
            return Step(record.node, record.life, record.now, _unwrapped(record.event))
    except RecursionError as error:
        raise ValueError('nested too deeply') from error
    return record


class LoadedTrace(Struct, frozen=True):
    """A trace from a file; iterate over it to get its records.

    library: the version of consensual that recorded it.
    records: that of line 2 first, one a line.
    remarks: what the reader should know, such as a last line that was cut off.
    """

    path: str
    library: str
    records: tuple[Record, ...]
    remarks: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)


def load(path: FilePath) -> LoadedTrace:
    """Read and validate what `Trace.save` or a `TraceRecorder` wrote.

    A last line that was cut off, as by a crash, is left out, with a remark.

    Raises `InvalidTrace` for anything else that is no trace, and `OSError` when the
    file cannot be read.
    """
    header, *lines = Path(path).read_bytes().split(b'\n')
    try:
        library = decode_header(header)
    except ValueError as error:
        raise InvalidTrace(path, 1, str(error)) from error
    rest = lines.pop() if lines else b''
    reading = _Reading(path)
    for line in lines:
        reading.take(line)
    remarks = []
    if rest:
        try:
            reading.take(rest)
        except InvalidTrace as error:
            remarks.append(
                f'line {error.line} is cut off and left out: '
                'the recording ended while it was being written'
            )
    return LoadedTrace(fspath(path), library, tuple(reading.records), tuple(remarks))


class _Reading:
    """The records of a file so far."""

    def __init__(self, path: FilePath) -> None:
        self.records: list[Record] = []
        self._path = path
        self._lives: set[tuple[str, int]] = set()

    def take(self, line: bytes) -> None:
        """Take the next line."""
        try:
            record = decode_record(line)
        except ValueError as error:
            raise self._invalid(f'this is no record ({error})') from error
        if not isinstance(record, Note):
            life = record.node, record.life
            has_begun = life in self._lives
            if isinstance(record, Begin) and has_begun:
                raise self._invalid(f'life {record.life} of {record.node} begins again')
            if not isinstance(record, Begin) and not has_begun:
                raise self._invalid(f'life {record.life} of {record.node} never began')
            self._lives.add(life)
        self.records.append(record)

    def _invalid(self, problem: str) -> InvalidTrace:
        return InvalidTrace(
            self._path,
            FIRST_LINE + len(self.records),
            f'{problem}; the file is damaged: take an undamaged copy, or delete it from this '
            'line on to replay what comes before',
        )


class _Header(Struct, frozen=True):
    format: str
    version: int
    library: str


# Events hold requests, which do not tell what they are: in a trace their kind stands beside them.


class _ReceivedLine(Struct, frozen=True, tag=Received.__name__):
    call: int
    kind: MessageKind
    request: Raw


class _RepliedLine(Struct, frozen=True, tag=Replied.__name__):
    kind: MessageKind
    request: Raw
    reply: Reply


class _FailedLine(Struct, frozen=True, tag=Failed.__name__):
    kind: MessageKind
    request: Raw


class _StepLine(Struct, frozen=True, tag='step', tag_field='record'):
    node: str
    life: LifeNumber
    now: float
    event: Raw


_WRAPPERS: Mapping[type, Callable[[Any], Any]] = {
    Received: lambda event: _ReceivedLine(event.call, KINDS[type(event.request)], event.request),
    Replied: lambda event: _RepliedLine(KINDS[type(event.request)], event.request, event.reply),
    Failed: lambda event: _FailedLine(KINDS[type(event.request)], event.request),
}


def _unwrapped(data: Raw) -> Event:
    event = _decode_event(data)
    match event:
        case _ReceivedLine():
            return Received(event.call, _request(event.kind, event.request))
        case _RepliedLine():
            return Replied(_request(event.kind, event.request), event.reply)
        case _FailedLine():
            return Failed(_request(event.kind, event.request))
    plain: Event = event
    return plain


def _request(kind: MessageKind, data: Raw) -> Request:
    return _decode_request[kind](data)


_LINES = {Received: _ReceivedLine, Replied: _RepliedLine, Failed: _FailedLine}
_encode = msgspec.json.Encoder().encode

_decode_header = msgspec.json.Decoder(_Header).decode
_decode_record: Callable[[bytes], Union[Begin, _StepLine, Take, Note]] = msgspec.json.Decoder(
    Union[Begin, _StepLine, Take, Note]
).decode
_decode_event: Callable[[Raw], Any] = msgspec.json.Decoder(
    Union[tuple(_LINES.get(type_, type_) for type_ in get_args(Event))]
).decode
_decode_request: Mapping[MessageKind, Callable[[Raw], Request]] = {
    kind: msgspec.json.Decoder(type_).decode for kind, type_ in REQUEST_TYPES.items()
}
