"""A transport under test with stand-ins at its ends: who sends, who receives, what arrived.

Machinery of `TransportConformance`; the rules are there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, Optional, Protocol, Self, TypeVar, Union

from yarl import URL

from consensual.raft.driver.ports import Endpoint, MessageKind, Receiver, Sender
from consensual.raft.errors import ReceiverUnavailable
from consensual.raft.node import Node

Result = TypeVar('Result')
Answer = Callable[[Any], Awaitable[Any]]

KIND = MessageKind.APPEND_ENTRIES


class Hooks(Protocol):
    """What the author of the transport tells; see `TransportConformance`."""

    patience: float
    heartbeat: float

    def url(self, name: str) -> URL:
        """Return where the node of that name is to be."""

    def make_sender(self, url: URL) -> Union[Sender, Awaitable[Sender]]:
        """Return a Sender."""

    def make_receiver(self, endpoint: Endpoint) -> Union[Receiver, Awaitable[Receiver]]:
        """Return a Receiver."""

    def release(self, sender: Sender) -> Optional[Awaitable[None]]:
        """Let go what the Sender holds."""


async def echo(message: Any) -> Any:
    """Answer with what came."""
    return message


def failing(error: Exception) -> Answer:
    """Answer nothing but this error."""

    async def fail(_: Any) -> Any:
        raise error

    return fail


class StandIn:
    """In a node's place: keeps what arrives and answers as the test says.

    arrived: the kinds and messages, in their order.
    """

    def __init__(self, url: URL, answer: Answer) -> None:
        self.url = url
        self.answer = answer
        self.arrived: list[tuple[MessageKind, Any]] = []

    async def receive(self, *, kind: MessageKind, message: Any) -> Any:
        """Take a message and return the reply."""
        self.arrived.append((kind, message))
        return await self.answer(message)


class Member:
    """A real node on the transport, that keeps its commands in a list."""

    def __init__(self, node: Node, receiver: Receiver, kept: list[Any]) -> None:
        self.node, self.receiver, self.kept = node, receiver, kept

    async def until_led_by_another(self, old: URL) -> URL:
        """Wait until it knows a leader that is not this one."""
        async for status in self.node.watch():
            if status.leader not in (None, old):
                return status.leader
        raise AssertionError(f'{self.node} stopped')


class Links:
    """Makes Senders and Receivers of the transport, and lets go of all in the end."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._urls: dict[str, URL] = {}
        self._nodes: list[Node] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, error_type: Optional[type[BaseException]], *_: object) -> None:
        async with self._stack:
            stops = asyncio.gather(*(node.stop() for node in self._nodes))
            with suppress(*([] if error_type is None else [Exception])):  # the first error tells
                await self.soon(stops, 'the stop of all nodes')

    def url(self, name: str) -> URL:
        """Return where the node of that name is; always the same."""
        if name not in self._urls:
            self._urls[name] = self._hooks.url(name)
        return self._urls[name]

    async def sender(self, *names: str) -> Sender:
        """Return a Sender that may send to these."""
        sender = await self._sender('sender')
        sender.urls = frozenset(map(self.url, names))
        return sender

    async def receiver(self, name: str, answer: Answer = echo) -> tuple[Receiver, StandIn]:
        """Return a Receiver that was not started, and who receives."""
        stand_in = StandIn(self.url(name), answer)
        return await self._receiver(stand_in), stand_in

    async def listener(self, name: str, answer: Answer = echo) -> tuple[Receiver, StandIn]:
        """Return a Receiver that was started, and who receives."""
        receiver, stand_in = await self.receiver(name, answer)
        await self.start(receiver)
        return receiver, stand_in

    async def pair(self, answer: Answer = echo) -> tuple[Sender, StandIn]:
        """Return a Sender to 'a', and who receives there."""
        _, stand_in = await self.listener('a', answer)
        return await self.sender('a'), stand_in

    async def start(self, receiver: Receiver) -> None:
        """Start it, in bounded time."""
        await self.soon(settled(receiver.start()), 'the start of the receiver')

    async def stop(self, receiver: Receiver) -> None:
        """Stop it, in bounded time."""
        await self.soon(settled(receiver.stop()), 'the stop of the receiver')

    async def attempt(
        self, sender: Sender, name: str, message: Any, kind: MessageKind = KIND
    ) -> Any:
        """Send, in bounded time; return the reply, or raise what the Sender raises."""
        return await self.soon(
            sender.send(kind=kind, message=message, url=self.url(name)), 'the end of a send'
        )

    async def send(self, sender: Sender, name: str, message: Any, kind: MessageKind = KIND) -> Any:
        """Send to who listens, in bounded time; return the reply, which must come."""
        try:
            return await self.attempt(sender, name, message, kind)
        except Exception as error:
            raise AssertionError(
                f'to a node that listens, with {message!r:.80}: send raised {error!r:.200}'
            ) from error

    async def check_unavailable(self, sender: Sender, name: str, situation: str) -> None:
        """The Sender must say that there is no reply."""
        try:
            reply = await self.attempt(sender, name, {'to': 'nobody'})
        except ReceiverUnavailable:
            return
        except Exception as error:
            raise AssertionError(
                f'{situation}: send must raise ReceiverUnavailable, not {error!r}'
            ) from error
        raise AssertionError(
            f'{situation}: send must raise ReceiverUnavailable; it returned {reply!r:.200}'
        )

    async def member(self, name: str) -> Member:
        """Return a node that can be reached, and is in no cluster yet."""
        kept: list[Any] = []
        node = Node.from_url(
            self.url(name),
            sender=await self._sender(name),
            processors={'keep': kept.append},
            heartbeat=self._hooks.heartbeat,
        )
        receiver = await self._receiver(node)
        self._nodes.append(node)
        await self.start(receiver)
        return Member(node, receiver, kept)

    async def soon(self, awaitable: Awaitable[Result], what: str) -> Result:
        """Return its result; fail when it takes longer than the author is patient."""
        task = asyncio.ensure_future(awaitable)
        await asyncio.wait([task], timeout=self._hooks.patience)
        if not task.done():
            task.cancel()
            raise AssertionError(f'{what} did not come within {self._hooks.patience} s')
        if task.cancelled():
            raise AssertionError(f'instead of {what} came CancelledError, though nobody cancelled')
        return task.result()

    async def _sender(self, name: str) -> Sender:
        sender = await settled(self._hooks.make_sender(self.url(name)))

        async def release() -> None:
            await settled(self._hooks.release(sender))

        self._stack.push_async_callback(release)
        return sender

    async def _receiver(self, endpoint: Endpoint) -> Receiver:
        receiver = await settled(self._hooks.make_receiver(endpoint))

        async def stop() -> None:
            with suppress(Exception):  # what stop owes is tested by itself
                await self.soon(settled(receiver.stop()), 'the stop of the receiver')

        self._stack.push_async_callback(stop)
        return receiver


async def settled(value: Union[Result, Awaitable[Result]]) -> Result:
    """Await what may be awaitable."""
    return await value if isinstance(value, Awaitable) else value


def difference(sent: Any, arrived: Any, path: str = '') -> Optional[str]:
    """Return where two JSON values differ, the types of numbers included; None if nowhere."""
    if type(sent) is not type(arrived):
        return f'{path or "it"} was {sent!r:.80}, and came as {arrived!r:.80}'
    if isinstance(sent, dict):
        if sent.keys() != arrived.keys():
            return f'{path or "it"} had the keys {[*sent]!r:.80}, and came with {[*arrived]!r:.80}'
        pairs = [(f'{path}[{key!r}]', value, arrived[key]) for key, value in sent.items()]
    elif isinstance(sent, list):
        if len(sent) != len(arrived):
            return f'{path or "it"} had {len(sent)} items, and came with {len(arrived)}'
        pairs = [
            (f'{path}[{index}]', *pair)
            for index, pair in enumerate(zip(sent, arrived, strict=True))
        ]
    else:
        return None if sent == arrived else f'{path} was {sent!r:.80}, and came as {arrived!r:.80}'
    found = (difference(one, other, where) for where, one, other in pairs)
    return next((text for text in found if text is not None), None)
