"""Lines are replicated while the cluster is put through its paces: one run, told as it goes.

A user of the library's public names, and of nothing else. How it is shown is `live`.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Optional

from yarl import URL

from consensual.raft import (
    ConsensualError,
    MessageKind,
    Node,
    ReceiverUnavailable,
    communication,
)

HEARTBEAT = 0.05
PACED_SHARE, PACED_SECONDS = 0.7, 7.0
WRITERS = 32
TIMEOUT = 20.0


Display = Callable[['Demo'], AbstractAsyncContextManager[Callable[[str], None]]]
"""Shows a run for as long as it is entered, and gives what prints a line meanwhile."""


def print_at_once(text: str) -> None:
    """Print a line that whoever reads a pipe gets now."""
    print(text, flush=True)


@contextlib.asynccontextmanager
async def plain_lines(_: 'Demo') -> AsyncIterator[Callable[[str], None]]:
    """Show the lines, one after another, and nothing else."""
    yield print_at_once


class CuttableSender(communication.Sender):
    """In-memory communication from which nodes can be cut off."""

    def __init__(self, url: URL, nodes: dict[str, Node], cut: set[URL]) -> None:
        super().__init__([url], nodes)
        self._url, self._cut = url, cut

    async def send(self, *, kind: MessageKind, message: Any, url: URL) -> Any:
        """Send, unless either end is cut off."""
        if self._url in self._cut or url in self._cut:
            raise ReceiverUnavailable(f'{self._url} and {url} are cut off from each other')
        return await super().send(kind=kind, message=message, url=url)


class Replica:
    """A node and the lines that it applied."""

    def __init__(self, number: int, registry: dict[str, Node], cut: set[URL]) -> None:
        self.applied: list[int] = []
        self._digest = hashlib.sha256()
        url = URL.build(scheme='http', host='127.0.0.1', port=6000 + number)
        self.node = Node.from_url(
            url,
            sender=CuttableSender(url, registry, cut),
            processors={'append': self._append},
            heartbeat=HEARTBEAT,
        )
        communication.Receiver(self.node, registry).start()

    @property
    def name(self) -> str:
        """The node's id."""
        return self.node.status.id

    @property
    def digest(self) -> str:
        """The digest of the lines, in the order in which they were applied."""
        return self._digest.hexdigest()[:16]

    def _append(self, parameters: Any) -> None:
        number, line = parameters
        self.applied.append(number)
        self._digest.update(f'{number} {line}\n'.encode())


class Demo:
    """One run of the demo.

    lines: what is replicated.
    size: how many members the cluster has at the start.
    display: see `Display`.
    """

    def __init__(self, lines: list[str], size: int, display: Display = plain_lines) -> None:
        self.lines = lines
        self._display = display
        self.print_line: Callable[[str], None] = print_at_once
        self.registry: dict[str, Node] = {}
        self.cut: set[URL] = set()
        self.replicas = [Replica(number, self.registry, self.cut) for number in range(size)]
        self.entrances = list(self.replicas)
        self.acknowledged: set[int] = set()
        self.failed: dict[int, str] = {}
        self.failovers: list[tuple[str, float]] = []
        self.under_way: dict[Replica, int] = {}
        self.began = time.monotonic()
        self.next_line = 0
        self.pace: Optional[float] = None
        self.writers: asyncio.Future[list[None]]

    async def run(self) -> int:
        """Do everything; return the exit status."""
        async with self._display(self) as self.print_line:
            throughput = await self.replicate()
        status = self.judge(throughput)
        for replica in self.replicas:
            await replica.node.stop()
        return status

    async def replicate(self) -> float:
        """Replicate all lines; return how many there were in a second at full speed."""
        await self.assemble()
        paced = int(len(self.lines) * PACED_SHARE)
        self.pace = PACED_SECONDS / max(1, paced)
        self.say(f'replicating {len(self.lines)} lines from {WRITERS} writers')
        self.writers = asyncio.gather(*(self.write(paced) for _ in range(WRITERS)))
        try:
            await self.put_through_its_paces()
            await self.writers
        finally:
            await self.end(self.writers)
        self.pace = None
        self.say(f'{self.next_line} lines so far; the rest at full speed')
        begin, first = time.monotonic(), self.next_line
        progress = asyncio.create_task(self.show_progress())
        await asyncio.gather(*(self.write(len(self.lines)) for _ in range(8 * WRITERS)))
        elapsed = time.monotonic() - begin
        await self.end(progress)
        await self.settle()
        return (len(self.lines) - first) / elapsed

    async def assemble(self) -> None:
        """Make a cluster of the nodes."""
        first = self.replicas[0].node
        await self.must('solo', first.solo())
        await self.must('attach', first.attach_nodes([r.node.url for r in self.replicas[1:]]))
        self.say(f'{len(self.replicas)} nodes form a cluster, led by {self.leader().name}')

    async def put_through_its_paces(self) -> None:
        """Disturb the cluster while lines flow."""
        await asyncio.sleep(0.5)
        leader = self.leader()
        self.say(f'cutting off the leader {leader.name}')
        self.cut.add(leader.node.url)
        await self.time_failover('leader cut off', leader)
        await asyncio.sleep(0.5)
        self.say(f'healing: {leader.name} is back')
        self.cut.clear()
        await asyncio.sleep(0.5)

        newcomer = Replica(len(self.replicas), self.registry, self.cut)
        self.say(f'attaching {newcomer.name}')
        await self.must('attach', self.leader().node.attach_nodes([newcomer.node.url]))
        self.replicas.append(newcomer)
        self.entrances.append(newcomer)
        self.say(f'{newcomer.name} has caught up and votes: {len(newcomer.applied)} lines')
        await asyncio.sleep(0.5)

        leader = self.leader()
        self.say(f'detaching the leader {leader.name}')
        self.entrances.remove(leader)
        while self.under_way.get(leader):
            await asyncio.sleep(HEARTBEAT)
        other = self.entrances[0]
        await self.must('detach', other.node.detach_nodes([leader.node.url]))
        await self.time_failover('leader detached', leader)
        await asyncio.sleep(0.5)

        leader = self.leader()
        begin = time.monotonic()
        await self.must('transfer', leader.node.transfer_leadership())
        self.failovers.append(('leadership transferred', time.monotonic() - begin))
        self.say(f'{leader.name} handed the leadership to {self.leader().name}')

    async def time_failover(self, what: str, old: Replica) -> None:
        """Note how long it takes until another leader acknowledged a line."""
        begin = time.monotonic()
        while self.leader() is old:
            await asyncio.sleep(HEARTBEAT / 10)
        new, known = self.leader(), len(self.acknowledged)
        while len(self.acknowledged) == known and not self.writers.done():
            await asyncio.sleep(HEARTBEAT / 10)
        elapsed = time.monotonic() - begin
        self.failovers.append((what, elapsed))
        self.say(f'{new.name} leads term {new.node.status.term}, after {elapsed:.2f} s')

    async def write(self, last: int) -> None:
        """Replicate the lines up to that one, through whichever node has its turn."""
        while self.next_line < last:
            number = self.next_line
            self.next_line += 1
            replica = self.entrances[number % len(self.entrances)]
            self.under_way[replica] = self.under_way.get(replica, 0) + 1
            try:
                await replica.node.execute('append', [number, self.lines[number]], timeout=TIMEOUT)
                self.acknowledged.add(number)
            except ConsensualError as error:
                self.failed[number] = str(error)
            finally:
                self.under_way[replica] -= 1
            if self.pace is not None and self.next_line < last:
                await asyncio.sleep(min(1.0, self.pace * WRITERS))

    async def show_progress(self) -> None:
        """Say every second how far it is."""
        while True:
            await asyncio.sleep(1)
            self.say(f'{100 * len(self.acknowledged) // len(self.lines)} % done')

    async def end(self, work: asyncio.Future[Any]) -> None:
        """Let nothing of it go on; done already, do nothing."""
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    async def settle(self) -> None:
        """Let every member apply what is committed."""
        for replica in self.members():
            with contextlib.suppress(ConsensualError):
                await replica.node.ensure_linearizable(timeout=TIMEOUT)

    def judge(self, throughput: float) -> int:
        """Print the results; return the exit status."""
        print(f'\n{len(self.acknowledged)} lines acknowledged, {len(self.failed)} not')
        print(f'{throughput:,.0f} lines/s at full speed, through {len(self.members())} nodes')
        for what, elapsed in self.failovers:
            print(f'{elapsed:8.3f} s  {what}')
        for replica in self.replicas:
            note = '' if replica in self.members() else '  (detached, keeps what it had)'
            print(f'{replica.name}  {len(replica.applied):6} lines  {replica.digest}{note}')
        orders = {tuple(replica.applied) for replica in self.members()}
        is_right = (
            len(orders) == 1
            and len({replica.digest for replica in self.members()}) == 1
            and sorted(orders.pop()) == sorted(self.acknowledged)
            and not self.failed
        )
        for number, text in list(self.failed.items())[:3]:
            print(f'line {number + 1}: {text}')
        print(
            'every replica applied exactly the acknowledged lines, once, in one order'
            if is_right
            else 'FAILED: the replicas did not apply exactly the acknowledged lines'
        )
        return 0 if is_right else 1

    def members(self) -> list[Replica]:
        """The replicas that are in the cluster."""
        return [replica for replica in self.replicas if replica.node.status.role != 'detached']

    def leader(self) -> Replica:
        """The leader of the latest term, as far as anybody knows."""
        leaders = [r for r in self.replicas if r.node.status.role == 'leader']
        return max(leaders or self.replicas, key=lambda replica: replica.node.status.term)

    async def must(self, what: str, call: Awaitable[Optional[str]]) -> None:
        """Go on only if that succeeds."""
        error = await call
        if error is not None:
            raise SystemExit(f'demo: {what} failed: {error}')

    def say(self, text: str) -> None:
        """Print what happens, and when."""
        seconds = time.monotonic() - self.began
        self.print_line(f'{seconds:6.2f} s  {len(self.acknowledged):6} lines  {text}')
