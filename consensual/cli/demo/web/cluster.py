"""The cluster of the demo: carries out the orders of the page, and tells what came of them.

How either is sent is `server`.
"""

import asyncio
import itertools
import string
from collections import deque
from collections.abc import Awaitable, Coroutine
from random import Random
from typing import Any, Optional

from msgspec import Struct

from consensual.cli.demo.web.network import Network, names_of
from consensual.cli.demo.web.orders import (
    Attach,
    Cut,
    Detach,
    Enqueue,
    Heal,
    Kill,
    Order,
    Restart,
    Tune,
)
from consensual.cli.demo.web.replica import Replica
from consensual.raft import Node, NodeStatus

HEARTBEAT = 0.3
"""Seconds: slow enough to be followed by eye."""

NODE_LIMIT = 9
CALL_LIMIT = 32
"""Commands and changes of membership that may be under way."""

CALL_TIMEOUT, CHANGE_TIMEOUT = 5.0, 20.0
EVENTS_KEPT = 200


class OrderRefused(Exception):
    """An order that cannot be carried out as things are; the text says why."""


class Event(Struct, frozen=True, gc=False):
    """Something that happened; `is_bad` where somebody did not get what was asked for."""

    number: int
    seconds: float
    text: str
    is_bad: bool


class Cluster:
    """Replicas, the network between them, and what happened so far.

    size: members at the start.
    heartbeat: seconds.
    """

    def __init__(self, size: int, *, heartbeat: float = HEARTBEAT) -> None:
        self.network = Network(Random())  # noqa: S311 - no secret is drawn from it
        self.replicas: dict[str, Replica] = {}
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._size = size
        self._heartbeat = heartbeat
        self._count = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._letters = itertools.cycle(string.ascii_lowercase)
        self._began = asyncio.get_running_loop().time()

    def __repr__(self) -> str:
        return f'Cluster({sorted(self.replicas)})'

    @property
    def event_count(self) -> int:
        """How many events there were."""
        return self._count

    async def found(self) -> None:
        """Make a cluster of the first nodes, without the network's latency."""
        self.network.latency, latency = 0.0, self.network.latency
        replicas = [await self._add() for _ in range(self._size)]
        first = _running(replicas[0])
        for error in (
            await first.solo(),
            await first.attach_nodes([replica.url for replica in replicas[1:]]),
        ):
            if error is not None:
                raise OrderRefused(f'no cluster could be founded: {error}')
        self.network.latency = latency

    async def close(self) -> None:
        """End all that is under way, and all nodes."""
        for task in self._calls:
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        for replica in self.replicas.values():
            if replica.node is not None:
                self._end(replica)
        await asyncio.gather(*self._endings)

    # orders

    async def carry_out(self, order: Order) -> None:
        """Do at once, or begin, what is asked for; what comes of it is told by events.

        Raises `OrderRefused`.
        """
        match order:
            case Enqueue(text, name):
                self._enqueue(text or next(self._letters), name)
            case Cut(name):
                self._cut(self._replica(name))
            case Heal(name):
                self._heal({self._replica(name).name} if name else set(self.network.far_side))
            case Kill(name):
                self._kill(self._replica(name))
            case Restart(name):
                await self._restart(self._replica(name))
            case Attach(name):
                await self._attach(name)
            case Detach(name):
                self._detach(self._replica(name))
            case Tune(latency, loss):
                self.network.latency, self.network.loss = latency, loss

    def _enqueue(self, text: str, name: str) -> None:
        replica = self._replica(name) if name else self._leader()
        node = _running(replica)
        self._begin(
            f'{replica.name}: {text!r}',
            'committed and applied',
            node.enqueue('append', text, timeout=CALL_TIMEOUT),
        )

    def _cut(self, replica: Replica) -> None:
        if replica.name in self.network.far_side:
            raise OrderRefused(f'{replica.name} is cut off already')
        others = ', '.join(sorted(self.network.far_side))
        self.network.far_side.add(replica.name)
        self.tell(f'{replica.name} is cut off from all' + (f' but {others}' if others else ''))

    def _heal(self, names: set[str]) -> None:
        healed = names & self.network.far_side
        if not healed:
            raise OrderRefused('nothing is cut off')
        self.network.far_side -= healed
        self.tell(f'the cut is healed: {", ".join(sorted(healed))} can reach the others')

    def _kill(self, replica: Replica) -> None:
        self._end(replica)
        self.tell(f'{replica.name} is killed; its disk stays')

    async def _restart(self, replica: Replica) -> None:
        if replica.node is not None:
            raise OrderRefused(f'{replica.name} is running already')
        await replica.start()
        self.tell(f'{replica.name} is restarted, with what is on its disk')

    async def _attach(self, name: str) -> None:
        leader = self._leader()
        replica = self._replica(name) if name else None
        if replica is not None:
            if _running(replica).status.role != 'detached':
                raise OrderRefused(f'{name} takes itself for a member: detach it first')
        elif len(self.replicas) >= NODE_LIMIT:
            raise OrderRefused(f'there are {NODE_LIMIT} nodes, and no room for more')
        else:
            replica = await self._add()
            self.tell(f'{replica.name} is new, and empty')
        self._begin(
            f'attaching {replica.name}',
            'it votes',
            self._attached(leader, replica),
        )

    async def _attached(self, leader: Replica, replica: Replica) -> Optional[str]:
        """Attach a node, which is emptied before: only an empty one can be attached."""
        if (error := await _running(replica).detach()) is not None:
            return error
        return await _running(leader).attach_nodes([replica.url], timeout=CHANGE_TIMEOUT)

    def _detach(self, replica: Replica) -> None:
        if replica.name not in self._voters() | self._learners():
            raise OrderRefused(f'{replica.name} is detached already')
        leader = _running(self._leader())
        self._begin(
            f'detaching {replica.name}',
            'it is no member any more',
            leader.detach_nodes([replica.url], timeout=CHANGE_TIMEOUT),
        )

    # what is under way

    def _begin(self, what: str, done: str, call: Coroutine[Any, Any, Optional[str]]) -> None:
        """Let a call go on by itself, and tell what comes of it."""
        if len(self._calls) >= CALL_LIMIT:
            call.close()
            raise OrderRefused(f'{CALL_LIMIT} calls are under way: wait for one of them')
        task = asyncio.create_task(self._finish(what, done, call))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _finish(self, what: str, done: str, call: Awaitable[Optional[str]]) -> None:
        try:
            error = await call
        except OrderRefused as refused:
            error = str(refused)
        self.tell(f'{what}: {error or done}', is_bad=error is not None)

    def _end(self, replica: Replica) -> None:
        """Kill a node; what it takes to clear its life away goes on by itself."""
        ending = asyncio.create_task(replica.kill(_running(replica)))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _add(self) -> Replica:
        name = f'S{len(self.replicas) + 1}'
        replica = Replica(name, self.network, self._heartbeat, self.tell)
        self.replicas[name] = replica
        await replica.start()
        return replica

    def tell(self, text: str, *, is_bad: bool = False) -> None:
        """Note what happened, for the page's log."""
        self._count += 1
        seconds = asyncio.get_running_loop().time() - self._began
        self.events.append(Event(self._count, round(seconds, 2), text, is_bad))

    # what there is

    def picture(self) -> dict[str, Any]:
        """Return all that is drawn, messages and events excepted."""
        view = self._view()
        return {
            'leader': self._leader_name(),
            'calls': len(self._calls),
            'latency': self.network.latency,
            'loss': self.network.loss,
            'has_room': len(self.replicas) < NODE_LIMIT,
            'stable': view is None or view.stable,
            'nodes': [self._node_picture(replica) for replica in self.replicas.values()],
        }

    def _node_picture(self, replica: Replica) -> dict[str, Any]:
        status = replica.status
        name = replica.name
        is_learner = name in self._learners()
        return {
            'name': name,
            'role': 'down' if status is None else status.role,
            'membership': 'learner' if is_learner else 'voter' if name in self._voters() else '',
            'is_cut_off': name in self.network.far_side,
            'term': replica.disk.term if status is None else status.term,
            'commit_index': 0 if status is None else status.commit_index,
            'applied_index': 0 if status is None else status.applied_index,
            'log': replica.disk.cells,
        }

    def _replica(self, name: str) -> Replica:
        try:
            return self.replicas[name]
        except KeyError:
            raise OrderRefused(
                f'there is no node {name!r}; there are {", ".join(self.replicas)}'
            ) from None

    def _leader_name(self) -> Optional[str]:
        statuses = [(r.status, r.name) for r in self.replicas.values() if r.status is not None]
        terms = {status.term: name for status, name in statuses if status.role == 'leader'}
        return terms[max(terms)] if terms else None

    def _leader(self) -> Replica:
        """Return the leader of the latest term. Raises `OrderRefused` when nobody leads."""
        name = self._leader_name()
        if name is None:
            raise OrderRefused('nobody leads at the moment')
        return self.replicas[name]

    def _view(self) -> Optional[NodeStatus]:
        """Return the status of the member that knows most of the membership."""
        statuses = [replica.status for replica in self.replicas.values()]
        members = [s for s in statuses if s is not None and s.role != 'detached']
        return max(members, key=lambda s: (s.term, s.role == 'leader', s.last_index), default=None)

    def _voters(self) -> set[str]:
        view = self._view()
        return set() if view is None else set(names_of(view.voters))

    def _learners(self) -> set[str]:
        view = self._view()
        return set() if view is None else set(names_of(view.learners))


def _running(replica: Replica) -> Node:
    """Return the node of a replica. Raises `OrderRefused` when it is down."""
    if replica.node is None:
        raise OrderRefused(f'{replica.name} is down: restart it first')
    return replica.node
