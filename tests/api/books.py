"""A state machine that can be put into a snapshot, and a desk at which that is done on call.

Public names only; no rule of Raft.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from consensual.raft import Node
from tests.clusters import Cluster, Ledger

EVERY = 8
"""Entries from one snapshot to the next, where a test says nothing else."""


class Book(Ledger):
    """The list of what was applied, as snapshots carry it.

    taken, restored: how often it was put down, and the states that it took over.
    on_snapshot, on_restore: called first, to be told or to fail.
    """

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0
        self.restored: list[Any] = []
        self.on_snapshot: Callable[[], Any] = bool
        self.on_restore: Callable[[], Any] = bool
        self.gate = asyncio.Event()
        self.processors |= {'wait': self.wait, 'odd': self.odd, 'sloppy': self.sloppy}

    async def wait(self, parameters: Any) -> int:
        """Keep it once the gate is open."""
        await self.gate.wait()
        return self.add(parameters)

    def odd(self, parameters: Any) -> set[Any]:
        """Keep it, and return what JSON cannot carry."""
        self.add(parameters)
        return {parameters}

    def sloppy(self, parameters: Any) -> 'Sloppy':
        """Keep it, and return what is not to be compared with others."""
        self.add(parameters)
        return Sloppy()

    def snapshot(self) -> Any:
        """Return a copy, or what `on_snapshot` returns."""
        self.taken += 1
        return self.on_snapshot() or [*self.entries]

    def restore(self, value: Any) -> None:
        """Replace all."""
        self.on_restore()
        self.restored.append(value)
        self.entries[:] = value


class Sloppy:
    """Compares with its like only, as many classes do; JSON can carry it, as an object."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.x = 1

    def __eq__(self, other: object) -> bool:
        return self.x == other.x  # type: ignore[attr-defined,no-any-return]


class Desk(ThreadPoolExecutor):
    """Does at once, or once it is open, what is handed to other threads: in this one.

    So virtual time stands still meanwhile, and a test says how long it takes.
    """

    def __init__(self) -> None:
        super().__init__(1)
        self.is_open = True
        self.waiting: list[Callable[[], None]] = []
        asyncio.get_running_loop().set_default_executor(self)

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> 'Future[Any]':
        """Take the work."""
        future: Future[Any] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*args, **options))
                except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
                    future.set_exception(error)

        self.waiting.append(work)
        if self.is_open:
            self.open()
        return future

    def close(self) -> None:
        """Let the work wait from now on."""
        self.is_open = False

    def open(self) -> None:
        """Do what waits, and what comes."""
        self.is_open = True
        waiting, self.waiting = self.waiting, []
        for work in waiting:
            work()


class Library(Cluster):
    """A cluster whose state machines are books.

    desk: where its snapshots are encoded and decoded.
    """

    def __init__(self, names: str = 'abc', **options: Any) -> None:
        super().__init__(names, **{'snapshot_every': EVERY, **options})
        self.books: dict[str, Book] = {}
        self.desk = Desk()

    def make(self, name: str, **options: Any) -> Node:
        """Make a node with a new book, unless another machine is given."""
        if 'state_machine' not in options and 'processors' not in options:
            self.books[name] = options['state_machine'] = Book()
        elif isinstance(options.get('state_machine'), Book):
            self.books[name] = options['state_machine']
        return super().make(name, **{'state_machine': None, **options})

    async def fill(self, name: str, count: int = 3 * EVERY) -> None:
        """Have so many commands applied by that node."""
        for number in range(count):
            await self[name].execute('add', number)
