"""The network of the demo: a transport with latency, loss and cuts, which shows what travels on it.

Knows names and messages; what they mean to a node it does not.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from random import Random
from typing import Any, Literal

from msgspec import Struct
from yarl import URL

from consensual.raft import Endpoint, MessageKind, Receiver, ReceiverUnavailable, Sender
from consensual.raft.errors import ConsensualError

LATENCY = 0.15
"""Seconds that a message takes one way, at first."""

LATENCY_LIMIT, LOSS_LIMIT = 0.6, 0.5
"""The largest latency, in seconds, and share of messages lost, that may be set."""

JITTER = 0.2
"""The share of the latency by which a message may be sooner or later."""

TRAVELS_KEPT = 512

Fate = Literal['delivered', 'lost', 'cut']


class Travel(Struct, frozen=True, array_like=True, gc=False):
    """A message on its way, as it is to be drawn.

    number: counts all of them.
    kind: of the request, as the paper writes it; 'Heartbeat' for AppendEntries without entries.
    is_reply, is_yes: whether it is the reply, and whether that grants what was asked.
    sender, receiver: names of nodes.
    seconds: that it takes.
    """

    number: int
    kind: str
    is_reply: bool
    is_yes: bool
    sender: str
    receiver: str
    seconds: float
    fate: Fate


class Network:
    """All wires.

    latency: seconds, one way. loss: the share of messages that are lost.
    far_side: the names of the nodes that are cut off; those reach each other, and nobody else.
    """

    def __init__(self, random: Random) -> None:
        self.latency = LATENCY
        self.loss = 0.0
        self.far_side: set[str] = set()
        self.plugged: dict[str, Endpoint] = {}
        self._random = random
        self._travels: deque[Travel] = deque(maxlen=TRAVELS_KEPT)
        self._count = 0

    def __repr__(self) -> str:
        return f'Network({sorted(self.plugged)}, cut off: {sorted(self.far_side)})'

    @property
    def travel_count(self) -> int:
        """How many messages there were."""
        return self._count

    def travels_since(self, count: int, limit: int) -> list[Travel]:
        """Return the messages after that many; of too many, no heartbeats, and the last ones."""
        new = [travel for travel in self._travels if travel.number > count]
        if len(new) > limit:
            new = [travel for travel in new if travel.kind != 'Heartbeat']
        return new[-limit:]

    def is_cut(self, one: str, other: str) -> bool:
        """Tell whether a cut lies between the two."""
        return (one in self.far_side) != (other in self.far_side)

    async def carry(
        self, sender: str, receiver: str, kind: str, *, is_reply: bool, is_yes: bool
    ) -> None:
        """Take a message from one to the other: return when it is there.

        A message that is lost never arrives; its sender does not learn of it. Raises
        `ReceiverUnavailable` where the way is cut.
        """
        seconds = self.latency * self._random.uniform(1 - JITTER, 1 + JITTER)
        fate = self._fate(sender, receiver)
        self._count += 1
        self._travels.append(
            Travel(self._count, kind, is_reply, is_yes, sender, receiver, seconds, fate)
        )
        await asyncio.sleep(seconds)
        if fate == 'lost':
            await asyncio.get_running_loop().create_future()
        if fate == 'cut':
            raise ReceiverUnavailable(f'{sender} and {receiver} are cut off from each other')

    def _fate(self, sender: str, receiver: str) -> Fate:
        if self.is_cut(sender, receiver):
            return 'cut'
        return 'lost' if self._random.random() < self.loss else 'delivered'


class WireSender(Sender):
    """Sends a node's messages over the network, until it is unplugged.

    name: whose messages they are.
    """

    def __init__(self, name: str, network: Network) -> None:
        self.urls: Collection[URL] = ()
        self._name = name
        self._network = network
        self._is_plugged = True

    def __repr__(self) -> str:
        return f'WireSender({self._name})'

    def unplug(self) -> None:
        """Send nothing any more: the node has crashed."""
        self._is_plugged = False

    async def send(self, *, kind: MessageKind, message: Any, url: URL) -> Any:
        """Take the message there and the reply back. Raises `ReceiverUnavailable`."""
        if url not in self.urls or not self._is_plugged:
            raise ReceiverUnavailable(f'{self._name} has no connection to {url}')
        receiver, called = name_of(url), _called(kind, message)
        await self._network.carry(self._name, receiver, called, is_reply=False, is_yes=True)
        endpoint = self._network.plugged.get(receiver)
        if endpoint is None:
            raise ReceiverUnavailable(f'nobody receives at {url}')
        try:
            reply = await endpoint.receive(kind=kind, message=message)
        except ConsensualError as error:
            raise ReceiverUnavailable(f'{receiver} gives no answer: {error}') from error
        is_yes = _is_yes(reply)
        await self._network.carry(receiver, self._name, called, is_reply=True, is_yes=is_yes)
        return reply


class WireReceiver(Receiver):
    """Plugs a node into the network."""

    def __init__(self, name: str, node: Endpoint, network: Network) -> None:
        self._name = name
        self._node = node
        self._network = network

    def __repr__(self) -> str:
        return f'WireReceiver({self._name}, running={self.is_running})'

    @property
    def is_running(self) -> bool:
        """True between `start` and `stop`."""
        return self._network.plugged.get(self._name) is self._node

    def start(self) -> None:
        """Be reached from now on.

        Raises `RuntimeError` when running already, `OSError` for a name in use.
        """
        if self.is_running:
            raise RuntimeError(f'{self._name} receives already')
        if self._name in self._network.plugged:
            raise OSError(f'another node receives as {self._name}')
        self._network.plugged[self._name] = self._node

    def stop(self) -> None:
        """Be reached no more; stopped already, do nothing."""
        if self.is_running:
            del self._network.plugged[self._name]


def url_of(name: str) -> URL:
    """Return the URL of the node with that name; nothing listens there."""
    return URL.build(scheme='http', host=name.lower())


def name_of(url: URL) -> str:
    """Return the name of the node with that URL."""
    return (url.host or '').upper()


def names_of(urls: Sequence[URL]) -> list[str]:
    """Return the names of the nodes with these URLs."""
    return [name_of(url) for url in urls]


def _called(kind: MessageKind, message: Any) -> str:
    if kind is MessageKind.APPEND_ENTRIES and not message.get('entries'):
        return 'Heartbeat'
    return ''.join(map(str.title, kind.name.split('_')))


def _is_yes(reply: Any) -> bool:
    """Tell whether a vote is granted, or entries fit; what is refused says neither."""
    return reply.get('granted', reply.get('success', 'reason' not in reply)) is True
