"""A simulated disk behind the Storage port: late, full, failing, or cut off by a crash.

What is on it outlives the process that writes; knows no rule of Raft.
"""

import errno
from asyncio import Future
from collections.abc import Callable
from random import Random
from typing import Optional

from consensual.raft.core.effects import HardState, Stored, Write
from consensual.raft.errors import StorageLocked
from consensual.storage.contents import Contents
from consensual.testing.process import Process
from consensual.testing.timeline import Timeline


class Disk:
    """Holds what one node must not forget, and does to it what the test says.

    write_time: seconds that a write takes at most, and at least half of them; 0 for none.
    is_full: every write fails, with ENOSPC.
    contents: what is durable at this moment.
    has_failed: a write failed since it was mounted: whoever uses it has stopped.
    on_replaced: called with an incarnation and its contents before another takes its place.
    """

    def __init__(self, timeline: Timeline, random: Random, *, write_time: float = 0.0) -> None:
        self.write_time = write_time
        self.is_full = self.has_failed = False
        self.contents = Contents()
        self.on_replaced: Callable[[str, Contents], None] = lambda *_: None
        self._timeline = timeline
        self._random = random
        self._user: Optional[Mounted] = None
        self._under_way: Optional[Write] = None
        self._failures: list[bool] = []
        self._writes_to_crash = 0
        self._crash: tuple[bool, Callable[[], None]] = (False, lambda: None)

    def __repr__(self) -> str:
        return f'Disk({self.contents!r})'

    @property
    def hard_state(self) -> Optional[HardState]:
        """The hard state that is durable; None on a new disk."""
        return self.contents.hard_state

    @property
    def term(self) -> int:
        """The term that is durable."""
        return self.hard_state.current_term if self.hard_state is not None else 0

    @property
    def incarnation(self) -> str:
        """Whose data these are; '' when there are none."""
        return self.hard_state.incarnation if self.hard_state is not None else ''

    @property
    def cluster_id(self) -> str:
        """Of which cluster they are; '' for none."""
        return self.hard_state.cluster_id if self.hard_state is not None else ''

    def holds(self, index: int, term: int) -> bool:
        """Tell whether an entry of that index and term is durable, or a snapshot that covers it."""
        return holds(self.contents, index, term)

    # faults

    def fail_next_write(self, *, is_written: bool) -> None:
        """Let the next write raise EIO, whether it reached the disk or not."""
        self._failures.append(is_written)

    def crash_at_write(
        self, number: int, on_crash: Callable[[], None], *, is_durable: bool
    ) -> None:
        """Crash within a write, the next one being number 1.

        is_durable: the write reached the disk, although the node never learned it.
        """
        self._writes_to_crash, self._crash = number, (is_durable, on_crash)

    def heal(self) -> None:
        """Have room and work from now on; whoever met a failure has stopped all the same."""
        self.is_full, self._writes_to_crash = False, 0
        self._failures.clear()

    def unmount(self) -> None:
        """The process is gone; what it was writing is there as a whole, or not at all."""
        write, self._under_way, self._user = self._under_way, None, None
        self.has_failed, self._writes_to_crash = False, 0
        self._failures.clear()
        if write is not None and self._random.random() < 0.5:
            self._apply(write)

    # what a process does

    def mount(self, process: Process) -> 'Mounted':
        """Return the storage by which a process uses it."""
        return Mounted(self, process)

    def take(self, user: 'Mounted') -> Optional[Stored]:
        """Let a user have it; return what is durable. Raises `StorageLocked`."""
        if self._user is not None and self._user is not user:
            raise StorageLocked(f'{self!r} is in use')
        self._user = user
        return self.contents.stored()

    def release(self, user: 'Mounted') -> None:
        """Let others have it."""
        if self._user is user:
            self._user = None

    def write(self, write: Write, process: Process) -> 'Optional[Future[None]]':
        """Make a write durable, at once or later, or fail."""
        if self._writes_to_crash:
            self._writes_to_crash -= 1
            if not self._writes_to_crash:
                return self._crash_within(write, process)
        error = self._failure(write)
        if error is not None and self._random.random() < 0.5:
            raise error
        if error is None and not self.write_time:
            self._apply(write)
            return None
        written = process.create_future()
        self._under_way = write if error is None else None
        seconds = self.write_time * (1 + self._random.random()) / 2
        self._timeline.call_later(seconds, self._complete, write, written, process, error)
        return written

    def _crash_within(self, write: Write, process: Process) -> 'Future[None]':
        is_durable, on_crash = self._crash
        if is_durable:
            self._apply(write)
        process.pause()
        self._timeline.call_later(0.0, on_crash)
        return process.create_future()

    def _failure(self, write: Write) -> Optional[OSError]:
        self.has_failed = self.has_failed or self.is_full or bool(self._failures)
        if self.is_full:
            return OSError(errno.ENOSPC, 'No space left on the simulated disk')
        if not self._failures:
            return None
        if self._failures.pop(0):
            self._apply(write)
        return OSError(errno.EIO, 'Input/output error of the simulated disk')

    def _complete(
        self, write: Write, written: 'Future[None]', process: Process, error: Optional[OSError]
    ) -> None:
        if error is not None:
            process.call_soon(_end, written, error)
        elif self._under_way is write:
            self._under_way = None
            self._apply(write)
            process.call_soon(_end, written, None)

    def _apply(self, write: Write) -> None:
        new = write.hard_state.incarnation if write.hard_state is not None else self.incarnation
        if self.incarnation and new != self.incarnation:
            self.on_replaced(self.incarnation, self.contents.copy())
        self.contents.take(write)


def holds(contents: Contents, index: int, term: int) -> bool:
    """Tell whether there is an entry of that index and term, or a snapshot that covers it.

    A snapshot tells the term of its last entry only; it covers what is committed, which has
    no other term anywhere.
    """
    snapshot, position = contents.snapshot, index - contents.first_index
    if 0 <= position < len(contents.entries):
        return contents.entries[position].term == term
    if snapshot is None or not 0 < index <= snapshot.index:
        return False
    return term == snapshot.term if index == snapshot.index else term <= snapshot.term


class Mounted:
    """A disk as one process has it: the Storage of one life of a node."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk = disk
        self._process = process

    def __repr__(self) -> str:
        return f'Mounted({self._disk!r})'

    def load(self) -> Optional[Stored]:
        """Return what is durable. Raises `StorageLocked` while another process has it."""
        return self._disk.take(self)

    def write(self, write: Write) -> 'Optional[Future[None]]':
        """Write as the disk does."""
        if not self._process.is_alive:
            return self._process.create_future()
        return self._disk.write(write, self._process)

    def close(self) -> None:
        """Give it up."""
        self._disk.release(self)


def _end(written: 'Future[None]', error: Optional[OSError]) -> None:
    if written.done():
        return
    if error is None:
        written.set_result(None)
    else:
        written.set_exception(error)
