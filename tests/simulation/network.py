"""A network between real nodes that loses, delays, duplicates, reorders and cuts.

Messages pass through JSON text, and stay under way when their sender gives up.
"""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import msgspec
from yarl import URL

from consensual.raft import MessageKind, Node, ReceiverUnavailable, Sender
from consensual.raft.errors import NodeStopped
from tests.simulation.clock import VirtualLoop

LATENCY = 0.004
"""Seconds that a message takes at most where the network is well."""


@dataclass(frozen=True)
class Noise:
    """How badly messages fare: probabilities, and seconds of additional delay at most."""

    drop: float = 0.0
    lose_reply: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0


QUIET = Noise()


class Witness(Protocol):
    """Who sees the messages pass."""

    def sees_request(self, source: str, kind: MessageKind, message: Any) -> None:
        """A running node sends a request."""

    def sees_reply(self, target: str, kind: MessageKind, request: Any, reply: Any) -> None:
        """A running node answers one."""

    def sees_failure(self, target: str, error: BaseException) -> None:
        """A node raised instead of answering."""


class _Lost(Exception):
    """The message, or its answer, never arrives."""


class Network:
    """Carries the messages of the nodes that are connected.

    nodes: who is connected, by name.
    cuts: the directed links that carry nothing, as (source, target).
    noise: how the other links fare.
    is_refusing: a cut link says so at once; else what is sent there is never answered.
    """

    def __init__(self, loop: VirtualLoop, seed: int, witness: Witness) -> None:
        self.nodes: dict[str, Node] = {}
        self.cuts: set[tuple[str, str]] = set()
        self.noise = QUIET
        self.is_refusing = False
        self.delivered = 0
        self._loop = loop
        self._seed = seed
        self._witness = witness
        self._randoms: dict[tuple[str, str], Random] = {}
        self._under_way: set[asyncio.Task[Any]] = set()

    # faults

    def partition(self, groups: Iterable[Collection[str]]) -> None:
        """Cut every link from one group to another, both ways."""
        groups = [*groups]
        for group in groups:
            for other in groups:
                if other is not group:
                    self.cuts |= {(source, target) for source in group for target in other}

    def isolate(self, name: str, others: Iterable[str]) -> None:
        """Cut one node off from the others."""
        self.partition([[name], [other for other in others if other != name]])

    def cut(self, source: str, target: str) -> None:
        """Cut one direction of one link."""
        self.cuts.add((source, target))

    def heal(self) -> None:
        """Carry everything again."""
        self.cuts.clear()
        self.noise = QUIET

    # carrying

    async def carry(self, source: str, kind: MessageKind, message: Any, url: URL) -> Any:
        """Return the reply; raise `ReceiverUnavailable`, or wait for ever, when there is none."""
        target = url.authority
        node = self.nodes.get(source)
        self._witness.sees_request(source, kind, message)
        text = msgspec.json.encode(message)
        random = self._random(source, target)
        if random.random() < self.noise.duplicate:
            self._spawn(self._deliver(source, target, kind, text, random))
        delivery = self._spawn(self._deliver(source, target, kind, text, random))
        reply = await asyncio.shield(delivery)
        if isinstance(reply, ReceiverUnavailable):
            raise reply
        if reply is None or self.nodes.get(source) is not node:
            await self._loop.create_future()
        return msgspec.json.decode(reply)

    async def _deliver(
        self, source: str, target: str, kind: MessageKind, text: bytes, random: Random
    ) -> bytes | ReceiverUnavailable | None:
        """Return the reply's text; the error; None for what is never answered. Never raises."""
        try:
            await self._travel(source, target, random, self.noise.drop)
            node = self.nodes.get(target)
            if node is None:
                return ReceiverUnavailable(f'nobody is at {target}')
            request = msgspec.json.decode(text)
            self.delivered += 1
            try:
                reply = await node.receive(kind=kind, message=request)
            except NodeStopped:
                return ReceiverUnavailable(f'{target} is stopped')
            except Exception as error:  # noqa: BLE001 - shown as a violation
                self._witness.sees_failure(target, error)
                return None
            if self.nodes.get(target) is not node:
                return None
            self._witness.sees_reply(target, kind, request, reply)
            reply_text = msgspec.json.encode(reply)
            await self._travel(target, source, random, self.noise.lose_reply)
        except _Lost:
            if self.is_refusing:
                return ReceiverUnavailable(f'no way from {source} to {target}')
            return None
        return reply_text

    async def _travel(self, source: str, target: str, random: Random, loss: float) -> None:
        delay = random.random() * LATENCY + random.random() * self.noise.delay
        is_lost = (source, target) in self.cuts or random.random() < loss
        await asyncio.sleep(delay)
        if is_lost or (source, target) in self.cuts:
            raise _Lost

    def _spawn(self, coroutine: Any) -> 'asyncio.Task[Any]':
        task = self._loop.create_task(coroutine)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    def _random(self, source: str, target: str) -> Random:
        """Return the link's own randomness: what other links carry does not change it."""
        link = source, target
        if link not in self._randoms:
            self._randoms[link] = Random(f'{self._seed} {source} {target}')
        return self._randoms[link]

    async def close(self) -> None:
        """Drop what is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)


class NetworkSender(Sender):
    """One node's end of the network; a crashed node's carries nothing any more."""

    def __init__(self, network: Network, name: str) -> None:
        self.urls: Collection[URL] = ()
        self.is_connected = True
        self._network = network
        self._name = name

    async def send(self, *, kind: MessageKind, message: Any, url: URL) -> Any:
        if url not in self.urls:
            raise ReceiverUnavailable(f'{url} is none of the nodes that {self._name} knows')
        if not self.is_connected:
            raise ReceiverUnavailable(f'{self._name} has crashed')
        return await self._network.carry(self._name, kind, message, url)
