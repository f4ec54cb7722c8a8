"""Whole clusters in memory: real nodes, and a network whose every link can fail.

Public names only; no rule of Raft. Time is the loop's, so virtual under looptime.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from random import Random
from typing import Any, NamedTuple, Optional, Self

from yarl import URL

from consensual.raft import MessageKind, Node, ReceiverUnavailable, communication
from consensual.testing.trace import Trace, leave

HEARTBEAT, T = 0.1, 0.5

Deliver = Callable[[], Awaitable[Any]]
Fault = Callable[[Deliver], Awaitable[Any]]


def url_of(name: str) -> URL:
    """Return where the node of that name is."""
    return URL(f'memory://{name}')


def urls_of(names: Iterable[str]) -> list[URL]:
    """Return where the nodes of those names are."""
    return [url_of(name) for name in names]


def names_of(urls: Iterable[URL]) -> str:
    """Return the one-letter names of nodes at those addresses, sorted."""
    return ''.join(sorted(url.authority for url in urls))


async def cut(_: Deliver) -> Any:
    """Lose the message and say so."""
    raise ReceiverUnavailable('the link is cut')


async def hang(_: Deliver) -> Any:
    """Lose the message and never say anything."""
    await asyncio.get_running_loop().create_future()


async def lose_reply(deliver: Deliver) -> Any:
    """Deliver the message but not the reply."""
    await deliver()
    raise ReceiverUnavailable('the reply is lost')


async def swallow_reply(deliver: Deliver) -> Any:
    """Deliver the message and never say anything."""
    await deliver()
    await hang(deliver)


async def duplicate(deliver: Deliver) -> Any:
    """Deliver the message twice at once; give one of the replies."""
    _, reply = await asyncio.gather(deliver(), deliver())
    return reply


def delay(seconds: float) -> Fault:
    """Make a fault: the message is late by that many seconds."""

    async def late(deliver: Deliver) -> Any:
        await asyncio.sleep(seconds)
        return await deliver()

    return late


def jitter(random: Random, seconds: float) -> Fault:
    """Make a fault: messages and replies are late by up to that, so they overtake each other."""

    async def late(deliver: Deliver) -> Any:
        await asyncio.sleep(random.uniform(0, seconds))
        reply = await deliver()
        await asyncio.sleep(random.uniform(0, seconds))
        return reply

    return late


def drop(random: Random, probability: float) -> Fault:
    """Make a fault: a part of the messages, and of the replies, is lost."""

    async def lossy(deliver: Deliver) -> Any:
        if random.random() < probability:
            raise ReceiverUnavailable('the message was dropped')
        reply = await deliver()
        if random.random() < probability:
            raise ReceiverUnavailable('the reply was dropped')
        return reply

    return lossy


def fail(error: Exception) -> Fault:
    """Make a fault: the transport raises that."""

    async def broken(_: Deliver) -> Any:
        raise error

    return broken


def answer(reply: Any) -> Fault:
    """Make a fault: the message is lost, and that comes back."""

    async def lie(_: Deliver) -> Any:
        return reply

    return lie


class Rule(NamedTuple):
    """Which messages a fault befalls: None stands for all."""

    fault: Fault
    sender: Optional[str] = None
    receiver: Optional[str] = None
    kinds: Optional[Collection[MessageKind]] = None

    def befalls(self, sender: str, receiver: str, kind: MessageKind) -> bool:
        """Return whether it has to do with this message."""
        return (
            self.sender in (None, sender)
            and self.receiver in (None, receiver)
            and (self.kinds is None or kind in self.kinds)
        )


class Network:
    """The links between nodes, and the faults on them; the latest fault is outermost.

    nodes: who receives, by authority: the dict of `communication`.
    sent: how many messages went, by (sender, receiver, kind).
    """

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.sent: Counter[tuple[str, str, MessageKind]] = Counter()
        self.rules: list[Rule] = []

    def add(
        self,
        fault: Fault,
        *,
        sender: Optional[str] = None,
        receiver: Optional[str] = None,
        kinds: Optional[Collection[MessageKind]] = None,
    ) -> Rule:
        """Let the fault befall those messages from now on."""
        rule = Rule(fault, sender, receiver, kinds)
        self.rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """End one fault."""
        self.rules.remove(rule)

    def cut_off(self, *names: str, fault: Fault = cut) -> None:
        """Cut all links to and from these nodes, also among them."""
        for name in names:
            self.add(fault, sender=name)
            self.add(fault, receiver=name)

    def split(self, group: Iterable[str], other: Iterable[str], fault: Fault = cut) -> None:
        """Cut the links between two groups, both ways."""
        for left in group:
            for right in other:
                self.add(fault, sender=left, receiver=right)
                self.add(fault, sender=right, receiver=left)

    def heal(self) -> None:
        """End all faults."""
        self.rules.clear()

    def sender(self, name: str) -> 'FaultySender':
        """Return the Sender of the node of that name."""
        return FaultySender(name, self)

    async def carry(self, name: str, url: URL, kind: MessageKind, deliver: Deliver) -> Any:
        """Deliver by way of the faults that befall this message."""
        self.sent[name, url.authority, kind] += 1
        for rule in self.rules:
            if rule.befalls(name, url.authority, kind):
                deliver = _befallen(rule.fault, deliver)
        return await deliver()


def _befallen(fault: Fault, deliver: Deliver) -> Deliver:
    async def through() -> Any:
        return await fault(deliver)

    return through


class FaultySender(communication.Sender):
    """The in-memory Sender over a faulty network; what it carries must be JSON."""

    def __init__(self, name: str, network: Network) -> None:
        super().__init__([], network.nodes)
        self.name = name
        self.network = network
        self.is_severed = False

    async def send(self, *, kind: MessageKind, message: Any, url: URL) -> Any:
        """Send JSON text, as a wire would."""
        if self.is_severed:
            raise ReceiverUnavailable(f'{self.name} has crashed')
        text = json.dumps(message)
        send = super().send

        async def deliver() -> Any:
            reply = await send(kind=kind, message=json.loads(text), url=url)
            return json.loads(json.dumps(reply))

        return await self.network.carry(self.name, url, kind, deliver)


class Ledger:
    """A state machine: the list of what was applied.

    With it come processors that misbehave, each in one way.
    """

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self.resets = 0
        self.processors = {'add': self.add, 'fail': self.fail, 'look': self.look}
        self.queries = {'entries': self.copy, 'count': self.count, 'broken': self.fail}

    def add(self, parameters: Any) -> int:
        """Keep it and return how many there are."""
        self.entries.append(parameters)
        return len(self.entries)

    def fail(self, parameters: Any) -> None:
        """Refuse it."""
        raise ValueError(f'no {parameters}')

    def look(self, parameters: Any, *, context: Any) -> dict[str, Any]:
        """Keep where it stands in the log, and return that."""
        place = {'index': context.index, 'term': context.term, 'time': context.time}
        self.entries.append([parameters, place])
        return place

    def copy(self, _: Any) -> list[Any]:
        """Return all."""
        return [*self.entries]

    async def count(self, value: Any) -> int:
        """Return how often that value is there, asynchronously."""
        await asyncio.sleep(0)
        return self.entries.count(value)

    def reset(self) -> None:
        """Forget all."""
        self.entries.clear()
        self.resets += 1


class Cluster:
    """Nodes by one-letter names; 'async with' starts them as one cluster and stops them.

    options: for `Node.from_url` of each node, more by `make`.
    before_stop: called on leaving, to let go of what a test holds.
    trace: of all nodes; a test that fails leaves it.
    On leaving it checks that no task is left and that no error went unhandled.
    """

    def __init__(self, names: str = 'abc', *, idle: str = '', **options: Any) -> None:
        self.names, self.idle = names, idle
        self.options = {'heartbeat': HEARTBEAT, **options}
        self.network = Network()
        self.trace = Trace()
        self.nodes: dict[str, Node] = {}
        self.ledgers: dict[str, Ledger] = {}
        self.receivers: dict[str, communication.Receiver] = {}
        self.unhandled: list[dict[str, Any]] = []
        self.before_stop: Callable[[], Any] = bool
        self._crashed: list[Node] = []
        self._made = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def make(self, name: str, **options: Any) -> Node:
        """Make a node, detached, not started, and reachable; in place of an earlier one.

        Its state machine, if it has one, is a new Ledger unless given.
        """
        self._made += 1
        if name in self.receivers:
            self.receivers[name].stop()
        chosen = {
            'random': Random(f'{name} {self._made}'),
            'recorder': self.trace.recorder(name),
            **self.options,
            **options,
        }
        if 'state_machine' not in chosen:
            self.ledgers[name] = chosen['state_machine'] = Ledger()
        node = Node.from_url(url_of(name), sender=self.network.sender(name), **chosen)
        self.nodes[name] = node
        self.receivers[name] = communication.Receiver(node, self.network.nodes)
        self.receivers[name].start()
        return node

    def crash(self, name: str) -> None:
        """Silence a node for ever, as by kill -9: whatever it still does, nobody hears.

        Its storage stays in use: go on with a `survivor()` of it.
        """
        self.receivers.pop(name).stop()
        node = self.nodes.pop(name)
        assert isinstance(node.sender, FaultySender)
        node.sender.is_severed = True
        self._crashed.append(node)

    async def __aenter__(self) -> Self:
        self._tasks = asyncio.all_tasks()
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: self.unhandled.append(context)
        )
        for name in self.names + self.idle:
            self.make(name)
        if self.names:
            assert await self.nodes[self.names[0]].solo() is None
        if self.names[1:]:
            first = self.nodes[self.names[0]]
            assert await first.attach_nodes(urls_of(self.names[1:])) is None
        return self

    async def __aexit__(self, _: object, error: Optional[BaseException], __: object) -> None:
        if error is not None:
            error.add_note(leave(self.trace, f'cluster-{self.names}-{id(self):x}'))
        self.network.heal()
        self.before_stop()
        nodes = [*self.nodes.values(), *self._crashed]
        async with asyncio.timeout(60):
            await asyncio.gather(*(node.stop() for node in nodes))
        if error is None:
            assert not asyncio.all_tasks() - self._tasks, 'a task outlived stop()'
            assert not self.unhandled, self.unhandled

    @property
    def leaders(self) -> list[Node]:
        """Those that take themselves for leaders."""
        return [node for node in self.nodes.values() if node.status.role == 'leader']

    @property
    def leader(self) -> Node:
        """The leader of the highest term; there must be one."""
        return max(self.leaders, key=lambda node: node.status.term)

    @property
    def followers(self) -> list[Node]:
        """The voters that follow."""
        return [node for node in self.nodes.values() if node.status.role == 'follower']

    def name_of(self, node: Node) -> str:
        """Return the one-letter name."""
        return node.url.authority

    async def until(self, condition: Callable[[], Any], seconds: float = 30) -> None:
        """Wait until it holds; fail when it does not within those seconds."""
        step = HEARTBEAT / 4
        for _ in range(round(seconds / step)):
            if condition():
                return
            await asyncio.sleep(step)
        raise AssertionError(f'not within {seconds} s; {self.nodes}')

    async def until_led(self, names: Iterable[str], seconds: float = 30) -> Node:
        """Wait until these nodes agree on a leader among them; return it."""
        group = {name: self.nodes[name] for name in names}

        def is_agreed() -> bool:
            leaders = {node.status.leader for node in group.values()}
            return len(leaders) == 1 and None not in leaders and bool(_leader_in(group))

        await self.until(is_agreed, seconds)
        return _leader_in(group)[0]

    async def until_equal(self, names: Optional[Iterable[str]] = None, seconds: float = 30) -> None:
        """Wait until these nodes applied all of the same log."""
        group = [self.nodes[name] for name in names or self.nodes]

        def is_equal() -> bool:
            statuses = [node.status for node in group]
            return len({status.last_index for status in statuses}) == 1 and all(
                status.applied_index == status.last_index for status in statuses
            )

        await self.until(is_equal, seconds)


def _leader_in(group: dict[str, Node]) -> list[Node]:
    return [
        node
        for node in group.values()
        if node.status.role == 'leader' and node.status.leader == node.url
    ]
