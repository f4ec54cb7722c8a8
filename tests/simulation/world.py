"""A world of nodes, their disks, callers and network, in virtual time, under observation.

Tests and the state machine act through its methods; it decides nothing by itself.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Optional

from yarl import URL

from consensual.raft import ConsensualError, Node
from consensual.raft.core.log import Reconfiguration
from consensual.raft.errors import CallerError, ClusterError, OutcomeUnknown, ProcessorFailed
from consensual.storage import MemoryStorage
from tests.simulation import invariants
from tests.simulation.clock import VirtualLoop
from tests.simulation.disk import ObservedStorage
from tests.simulation.ledger import Ledger, Refusal
from tests.simulation.network import Network, NetworkSender
from tests.simulation.observer import Observer
from tests.simulation.replica import Replica

HEARTBEAT = 0.1
T = 5 * HEARTBEAT


@dataclass
class Call:
    """A call that goes on in the background, and what became of it."""

    what: str
    task: 'asyncio.Task[Any]'
    outcome: Any = field(default='pending')

    @property
    def is_done(self) -> bool:
        return self.task.done()


class World:
    """Everything that a run consists of.

    seed: of every random choice that is not the test's own.
    down: what the crashed nodes' disks hold.
    write_times: seconds that writes take at most, of the nodes whose writes take time.
    """

    def __init__(self, seed: int = 0) -> None:
        self.observer = Observer()
        self.loop = VirtualLoop(self.observer.watch_all)
        self.loop.set_exception_handler(self.observer.take_loop_error)
        self.observer.loop = self.loop
        self.network = Network(self.loop, seed, self.observer)
        self.replicas: dict[str, Replica] = self.observer.replicas
        self.down: dict[str, MemoryStorage] = {}
        self.write_times: dict[str, float] = {}
        self.calls: list[Call] = []
        self._seed = seed
        self._lives = 0
        self._commands = 0
        self._ending: list[asyncio.Task[Any]] = []
        self._logger = logging.Logger('simulation', logging.ERROR)  # noqa: LOG001 - this world's own
        self._logger.addHandler(self.observer)

    def __repr__(self) -> str:
        return f'World(seed={self._seed})'

    # nodes

    def make(self, name: str, *, write_time: float = 0.0) -> Replica:
        """Start a new node; its writes take up to so many seconds to be durable."""
        later = None
        self.write_times[name] = write_time
        if write_time:
            random = Random(f'{self._seed} disk {name}')

            async def later() -> None:
                await asyncio.sleep((1 + random.random()) / 2 * self.write_times[name])

        return self._begin(name, MemoryStorage(later=later))

    def _begin(self, name: str, disk: MemoryStorage) -> Replica:
        self._lives += 1
        storage = ObservedStorage(disk, lambda: self.loop.steps)
        replica = Replica(name, self._lives, storage)
        replica.sender = NetworkSender(self.network, name)
        replica.ledger = Ledger(
            replica.cluster_id, lambda *what: self.observer.see_applied(replica, *what)
        )
        replica.node = Node.from_url(
            url_of(name),
            sender=replica.sender,
            state_machine=replica.ledger,
            storage=storage,
            heartbeat=HEARTBEAT,
            logger=self._logger,
            random=Random(f'{self._seed} node {name} {self._lives}'),
        )
        storage.on_write = lambda *what: self.observer.see_write(replica, *what)
        self.replicas[name] = replica
        self.network.nodes[name] = replica.node
        self._spawn(f'start {name}', replica, replica.node.start())
        return replica

    def crash(self, name: str) -> None:
        """End a node at once; what was durable stays on its disk."""
        replica = self.replicas.pop(name)
        self.down[name] = replica.storage.survivor()
        del self.network.nodes[name]
        replica.is_up = replica.is_running = False
        if replica.sender is not None:
            replica.sender.is_connected = False
        self._ending.append(self.loop.create_task(replica.node.stop()))

    def restart(self, name: str, *, keeps_memory: bool) -> Replica:
        """Start a crashed node again, with what its disk holds or with nothing."""
        disk = self.down.pop(name)
        return self._begin(name, disk) if keeps_memory else self.make(name)

    def stop(self, name: str) -> Call:
        """Stop a node in good order; a leader hands over first."""
        replica = self.replicas[name]
        replica.is_running = False
        return self._spawn(f'stop {name}', replica, replica.node.stop())

    def start(self, name: str) -> Call:
        """Start a stopped node again: its state machine is as it was."""
        replica = self.replicas[name]

        async def start() -> None:
            await replica.node.start()
            replica.seen.term = replica.seen.commit_index = 0  # not everything was durable
            replica.is_running = replica.is_up

        return self._spawn(f'start {name}', replica, start())

    @property
    def running(self) -> list[Replica]:
        """The nodes that are up and not stopped."""
        return [replica for replica in self.replicas.values() if replica.is_running]

    def leader_of(self, names: Iterable[str]) -> Optional[str]:
        """Return who of them leads, in the latest term."""
        statuses = [(self.replicas[name].node.status, name) for name in names]
        leaders = [(status.term, name) for status, name in statuses if status.role == 'leader']
        return max(leaders)[1] if leaders else None

    # calls in the background

    def enqueue(self, name: str, action: str = 'put', timeout: float = 5.0) -> Call:
        """Have one more command applied."""
        self._commands += 1
        command, replica = self._commands, self.replicas[name]

        async def enqueue() -> Any:
            try:
                result = await replica.node.execute(action, command, timeout=timeout)
            except ProcessorFailed as error:
                if not isinstance(error.__cause__, Refusal):
                    raise
            except (CallerError, ClusterError) as error:
                if replica.is_up:
                    self.observer.see_refused(replica, command, error)
                return error
            except OutcomeUnknown as error:
                return error
            else:
                if result != command:
                    wrong = f'{command} has the result {result} on {replica}'
                    self.observer.violate(invariants.ACKNOWLEDGED, wrong)
            if replica.is_up:
                self.observer.see_acknowledged(replica, command)
            return None

        return self._spawn(f'{name}: {action} {command}', replica, enqueue())

    def read(self, name: str) -> Call:
        """Wait until what was acknowledged before can be read on this node."""
        replica = self.replicas[name]
        cluster_id = replica.cluster_id()
        completed = set(self.observer.clusters[cluster_id].acknowledged)

        async def read() -> Any:
            try:
                await replica.node.ensure_linearizable()
            except ConsensualError as error:
                return error
            missing = completed - replica.ledger.commands
            if missing and replica.is_up and replica.cluster_id() == cluster_id:
                self.observer.violate(invariants.LINEARIZABLE, f'{replica} lacks {missing}')
            return None

        return self._spawn(f'{name}: read', replica, read())

    def attach(self, name: str, others: Iterable[str], timeout: float = 30.0) -> Call:
        return self._change(name, others, 'attach', timeout)

    def detach(self, name: str, others: Iterable[str], timeout: float = 30.0) -> Call:
        return self._change(name, others, 'detach', timeout)

    def _change(self, name: str, others: Iterable[str], what: str, timeout: float) -> Call:
        replica, urls = self.replicas[name], frozenset(map(url_of, others))
        is_attaching, cluster_id = what == 'attach', replica.cluster_id()
        node = replica.node

        def is_seen_done() -> bool:
            return any(
                urls <= voters if is_attaching else not urls & voters
                for voters in _stable_configurations(replica)
            )

        async def change() -> Any:
            request = node.attach_nodes if is_attaching else node.detach_nodes
            error = await request(sorted(urls), timeout=timeout)
            is_known = replica.is_up and replica.storage.is_settled
            is_known = is_known and replica.cluster_id() == cluster_id
            if error is None and is_known and not is_seen_done():
                self.observer.violate(invariants.CHANGE_DONE, f'{replica}: {what} {urls}')
            return error

        names = ', '.join(sorted(url.authority for url in urls))
        return self._spawn(f'{name}: {what} {names}', replica, change())

    def leave(self, name: str) -> Call:
        """Leave the cluster; detached already, be reset."""
        replica = self.replicas[name]
        return self._spawn(f'{name}: detach itself', replica, replica.node.detach())

    def solo(self, name: str) -> Call:
        replica = self.replicas[name]
        return self._spawn(f'{name}: solo', replica, replica.node.solo())

    def transfer(self, name: str, target: Optional[str] = None) -> Call:
        replica = self.replicas[name]
        url = None if target is None else url_of(target)
        return self._spawn(
            f'{name}: transfer to {target}', replica, replica.node.transfer_leadership(url)
        )

    def _spawn(self, what: str, replica: Replica, call: Coroutine[Any, Any, Any]) -> Call:
        async def follow() -> None:
            try:
                made.outcome = await call
            except ConsensualError as error:
                made.outcome = error
            except Exception as error:  # noqa: BLE001 - no call may raise anything else
                made.outcome = error
                self.observer.violate(invariants.CALLS_END, f'{what} on {replica}: {error!r}')

        made = Call(what, self.loop.create_task(follow()))
        self.calls.append(made)
        return made

    # time

    def run(self, seconds: float = 0.0) -> None:
        """Let virtual time pass."""
        self.loop.run_for(seconds)

    def until(self, is_true: Callable[[], bool], limit: float, step: float = 0.05) -> bool:
        """Let time pass, step by step, until that is true, or the limit is reached."""
        end = self.loop.time() + limit
        while not is_true():
            if self.loop.time() >= end:
                return False
            self.run(step)
        return True

    def finish(self, call: Call, limit: float = 60.0) -> Any:
        """Let time pass until the call ends; return what became of it."""
        if not self.until(lambda: call.is_done, limit):
            self.observer.violate(invariants.CALLS_END, f'{call.what} does not end')
        return call.outcome

    def found(self, names: list[str], **options: float) -> None:
        """Make nodes, and a cluster of them that has a leader."""
        for name in names:
            self.make(name, **options)
        self.run()
        self.finish(self.solo(names[0]))
        if len(names) > 1:
            self.finish(self.attach(names[0], names[1:]))

    # the end

    def check(self) -> None:
        """Raise if an invariant did not hold."""
        if self.observer.violations:
            raise AssertionError('\n'.join(map(str, self.observer.violations)))

    def close(self) -> None:
        """Stop everything that goes on."""
        self.loop.run_until_complete(self._close())
        self.loop.close()

    async def _close(self) -> None:
        for replica in self.replicas.values():
            replica.is_up = replica.is_running = False
            if replica.sender is not None:
                replica.sender.is_connected = False
        stops = [replica.node.stop() for replica in self.replicas.values()]
        await asyncio.gather(*stops, *self._ending)
        await self.network.close()
        tasks = [call.task for call in self.calls if not call.is_done]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def url_of(name: str) -> URL:
    return URL(f'sim://{name}')


def _stable_configurations(replica: Replica) -> list[frozenset[URL]]:
    """Return the voters of the stable configurations in a node's log."""
    return [
        frozenset(URL(member.url) for member in entry.payload.configuration.voters)
        for entry in replica.storage.entries
        if isinstance(entry.payload, Reconfiguration) and entry.payload.configuration.is_stable
    ]
