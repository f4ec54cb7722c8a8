"""A simulated network: every link may lose, delay, duplicate, reorder, or be cut.

Carries text between processes; what the messages say it does not know.
"""

from asyncio import Future
from collections.abc import Callable, Collection, Iterable
from random import Random
from typing import Any, Optional, Union

import msgspec
from msgspec import Struct
from yarl import URL

from consensual.raft import MessageKind, Node, ReceiverUnavailable, Sender
from consensual.raft.errors import NodeStopped, StorageError
from consensual.testing.process import Process
from consensual.testing.timeline import Timeline

LATENCY = 0.004
"""Seconds that a message takes at most where all is well."""

Link = tuple[str, str]
"""The way from one node to another, by names; the way back is another link."""

Arrive = Callable[[Any], None]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Noise(Struct, frozen=True):
    """How badly messages fare on a link.

    drop, duplicate: probabilities.
    delay: seconds more that a message takes at most; they overtake each other.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0


QUIET = Noise()


class Endpoint:
    """Where a name is reached: one life of a node."""

    def __init__(self, name: str, node: Node, process: Process) -> None:
        self.name = name
        self.node = node
        self.process = process


class Network:
    """Carries requests and replies between the nodes that are connected.

    noise: on all links that have none of their own.
    carried, lost: how many messages arrived, and did not.
    on_failure: called with a name and an error when a node raises instead of answering.
    """

    def __init__(self, timeline: Timeline, seed: int) -> None:
        self.carried = self.lost = 0
        self.on_failure: Callable[[str, BaseException], None] = lambda *_: None
        self._timeline = timeline
        self._seed = seed
        self._endpoints: dict[str, Endpoint] = {}
        self._cuts: dict[Link, list[bool]] = {}
        self.noise = QUIET
        self._noises: dict[Link, Noise] = {}
        self._randoms: dict[Link, Random] = {}

    def __repr__(self) -> str:
        return f'Network({sorted(self._endpoints)}, {len(self._cuts)} links cut)'

    # faults

    def cut(self, links: Iterable[Link], *, is_refusing: bool = False) -> None:
        """Let these ways carry nothing; each way back is another link.

        is_refusing: what is lost there is reported to its sender at once; else never.
        """
        for link in links:
            self._cuts.setdefault(link, []).append(is_refusing)

    def mend(self, links: Iterable[Link]) -> None:
        """Undo one `cut` of these ways; what was cut twice is to be mended twice."""
        for link in links:
            cuts = self._cuts.get(link, [])
            if len(cuts) > 1:
                cuts.pop()
            else:
                self._cuts.pop(link, None)

    def partition(
        self, groups: Iterable[Collection[str]], *, is_refusing: bool = False
    ) -> list[Link]:
        """Cut every link, both ways, between nodes that no group has in common.

        A node in two groups is a bridge between them. Nodes in no group keep their
        links. Returns the links, to be mended.
        """
        sets = [frozenset(group) for group in groups]
        named = sorted(frozenset[str]().union(*sets))
        links = [
            (source, target)
            for source in named
            for target in named
            if not any(source in group and target in group for group in sets)
        ]
        self.cut(links, is_refusing=is_refusing)
        return links

    def disturb(
        self, noise: Noise, source: Optional[str] = None, target: Optional[str] = None
    ) -> None:
        """Let messages fare so, on one link, or on all that have no noise of their own."""
        if source is None or target is None:
            self.noise = noise
        else:
            self._noises[source, target] = noise

    def heal(self) -> None:
        """Carry everything again."""
        self._cuts.clear()
        self._noises.clear()
        self.noise = QUIET

    # who is there

    def connect(self, endpoint: Endpoint) -> None:
        """Let a node be found."""
        self._endpoints[endpoint.name] = endpoint

    def disconnect(self, name: str) -> None:
        """Let nobody be found there; what is under way from there arrives all the same."""
        self._endpoints.pop(name, None)

    def endpoint(self, name: str) -> Optional[Endpoint]:
        """Return who is reached by that name."""
        return self._endpoints.get(name)

    # carrying

    def send(self, exchange: 'Exchange') -> None:
        """Let a request travel, perhaps twice."""
        link = exchange.source, exchange.target
        for _ in range(self._copies(link)):
            self._travel(link, exchange, self._arrive, exchange)

    def _arrive(self, exchange: 'Exchange') -> None:
        target = self._endpoints.get(exchange.target)
        if target is None:
            self._travel(
                (exchange.target, exchange.source),
                exchange,
                exchange.end,
                ReceiverUnavailable(f'nobody is at {exchange.target}'),
            )
        else:
            self.carried += 1
            target.process.call_soon(self._receive, target, exchange)

    def _receive(self, target: Endpoint, exchange: 'Exchange') -> None:
        target.process.create_task(self._answer(target, exchange))

    async def _answer(self, target: Endpoint, exchange: 'Exchange') -> None:
        reply: Union[bytes, ReceiverUnavailable]
        try:
            reply = _encode(
                await target.node.receive(kind=exchange.kind, message=_decode(exchange.text))
            )
        except (NodeStopped, StorageError) as error:
            reply = ReceiverUnavailable(f'{exchange.target} is stopped: {error}')
        except Exception as error:  # noqa: BLE001 - reported to whoever watches
            if target.process.is_alive:
                self.on_failure(exchange.target, error)
            reply = ReceiverUnavailable(f'{exchange.target} failed: {error!r}')
        if target.process.is_alive:
            self._travel((exchange.target, exchange.source), exchange, exchange.end, reply)

    def _travel(self, link: Link, exchange: 'Exchange', arrive: Arrive, what: Any) -> None:
        noise, random = self._noises.get(link, self.noise), self._random(link)
        is_lost = link in self._cuts or (noise.drop > 0 and random.random() < noise.drop)
        seconds = random.random() * LATENCY
        if noise.delay:
            seconds += random.random() * noise.delay
        self._timeline.call_later(seconds, self._end_of_way, link, is_lost, exchange, arrive, what)

    def _end_of_way(
        self, link: Link, is_lost: bool, exchange: 'Exchange', arrive: Arrive, what: Any
    ) -> None:
        if not is_lost and link not in self._cuts:
            return arrive(what)
        self.lost += 1
        if any(self._cuts.get(link, ())):
            exchange.end(ReceiverUnavailable(f'no way from {link[0]} to {link[1]}'))

    def _copies(self, link: Link) -> int:
        noise = self._noises.get(link, self.noise)
        return 2 if noise.duplicate and self._random(link).random() < noise.duplicate else 1

    def _random(self, link: Link) -> Random:
        """Return the link's own randomness: what other links carry does not change it."""
        random = self._randoms.get(link)
        if random is None:
            random = self._randoms[link] = Random(f'{self._seed} {link}')  # noqa: S311
        return random


class Exchange:
    """One request on its way, and the future of its reply."""

    __slots__ = 'kind', 'process', 'reply', 'source', 'target', 'text'

    def __init__(
        self, source: str, process: Process, target: str, kind: MessageKind, text: bytes
    ) -> None:
        self.source = source
        self.process = process
        self.target = target
        self.kind = kind
        self.text = text
        self.reply: Future[bytes] = process.create_future()

    def end(self, reply: Union[bytes, ReceiverUnavailable]) -> None:
        """The reply arrives, or that there is none; only the first counts."""
        self.process.call_soon(self._resolve, reply)

    def _resolve(self, reply: Union[bytes, ReceiverUnavailable]) -> None:
        if self.reply.done():
            return
        if isinstance(reply, ReceiverUnavailable):
            self.reply.set_exception(reply)
        else:
            self.reply.set_result(reply)


class NetworkSender(Sender):
    """One life's end of the network."""

    def __init__(self, network: Network, name: str, process: Process) -> None:
        self.urls: Collection[URL] = ()
        self._network = network
        self._name = name
        self._process = process

    def __repr__(self) -> str:
        return f'NetworkSender({self._name!r})'

    async def send(self, *, kind: MessageKind, message: Any, url: URL) -> Any:
        """Carry the message as text; wait for the reply, for ever if need be."""
        if url not in self.urls:
            raise ReceiverUnavailable(f'{url} is none of the nodes that {self._name} knows')
        if not self._process.is_alive:
            raise ReceiverUnavailable(f'{self._name} has crashed')
        exchange = Exchange(self._name, self._process, url.authority, kind, _encode(message))
        self._network.send(exchange)
        return _decode(await exchange.reply)
