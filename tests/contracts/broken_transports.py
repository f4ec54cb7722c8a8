"""Mutants of the in-memory transport: each breaks one rule of the contract.

Nothing is tested here.
"""

import asyncio
import json
from collections.abc import Collection, Mapping, MutableMapping
from typing import Any

from yarl import URL

from consensual.raft import MessageKind, ReceiverUnavailable, communication
from consensual.raft.driver.ports import Endpoint
from consensual.raft.errors import ConsensualError


class Sound(communication.Sender):
    """A Sender that keeps the contract; each mutant breaks `send`, or what it calls."""

    def __init__(self, urls: Collection[URL], nodes: Mapping[str, Endpoint]) -> None:
        super().__init__(urls, nodes)
        self.nodes = nodes
        self.lock = asyncio.Lock()

    async def send(self, *, kind: MessageKind, message: Any, url: URL) -> Any:
        return await self.carry(kind, message, url)

    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        return await super().send(kind=kind, message=message, url=url)


class RoundsFloats(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        text = json.dumps(message)
        rounded = json.loads(text, parse_float=lambda digits: round(float(digits), 9))
        await super().carry(kind, rounded, url)
        return message


class DropsWhatIsNone(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        kept = {key: value for key, value in message.items() if value is not None}
        return await super().carry(kind, kept, url)


class TakesIntsForFloats(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        reply = await super().carry(kind, message, url)
        return json.loads(json.dumps(reply), parse_int=float)


class RepliesWithTheMessage(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        await super().carry(kind, message, url)
        return message


class SendsTheNumberOfTheKind(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        return await super().carry(int(kind), message, url)  # type: ignore[arg-type]


class SwapsKinds(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        swapped = {
            MessageKind.REQUEST_VOTE: MessageKind.REQUEST_PRE_VOTE,
            MessageKind.REQUEST_PRE_VOTE: MessageKind.REQUEST_VOTE,
        }
        return await super().carry(swapped.get(kind, kind), message, url)


class LosesProposals(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        if kind is MessageKind.PROPOSE:
            raise ReceiverUnavailable('no proposals')
        return await super().carry(kind, message, url)


class LosesVotes(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        if kind is MessageKind.REQUEST_VOTE:
            raise ReceiverUnavailable('no votes')
        return await super().carry(kind, message, url)


class TakesOneMegabyte(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        if len(json.dumps(message)) > 1 << 20:
            raise ReceiverUnavailable('413 Request Entity Too Large')
        return await super().carry(kind, message, url)


class MixesReplies(Sound):
    """One connection, and whatever comes first is the reply."""

    latest: Any = None

    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        self.latest = await super().carry(kind, message, url)
        await asyncio.sleep(0)
        return self.latest


class IgnoresUrls(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        sender = communication.Sender([url], self.nodes)
        return await sender.send(kind=kind, message=message, url=url)


class NeverForgetsUrls(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        self.known = {*getattr(self, 'known', ()), *self.urls}
        sender = communication.Sender(self.known, self.nodes)
        return await sender.send(kind=kind, message=message, url=url)


class RaisesWhateverItGets(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        try:
            return await super().carry(kind, message, url)
        except ReceiverUnavailable as error:
            raise ConnectionRefusedError(111, str(error)) from error


class WaitsForWhoNeverComes(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        if url.authority not in self.nodes:
            await asyncio.get_running_loop().create_future()
        return await super().carry(kind, message, url)


class SwallowsThatANodeIsStopped(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        try:
            return await super().carry(kind, message, url)
        except ReceiverUnavailable as error:
            if error.__cause__ is None:
                raise
            return None


class RepliesWithTheError(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        try:
            return await super().carry(kind, message, url)
        except ConsensualError as error:
            return {'error': str(error)}


class RepliesWithStatus500(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        try:
            return await super().carry(kind, message, url)
        except (ValueError, LookupError):
            return {'status': 500}


class HangsAfterAnError(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        await self.lock.acquire()
        reply = await super().carry(kind, message, url)
        self.lock.release()
        return reply


class SendsOneAtATime(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        async with self.lock:
            return await super().carry(kind, message, url)


class IgnoresCancellation(Sound):
    async def carry(self, kind: MessageKind, message: Any, url: URL) -> Any:
        sending = asyncio.ensure_future(super().carry(kind, message, url))
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            return await sending


class Receiver(communication.Receiver):
    """A Receiver that keeps the contract; each mutant breaks one method."""

    def __init__(self, node: Endpoint, nodes: MutableMapping[str, Any]) -> None:
        super().__init__(node, nodes)
        self.node = node
        self.nodes = nodes


class IsAlwaysRunning(Receiver):
    @property
    def is_running(self) -> bool:
        return True


class RunsOnFirstUseOnly(Receiver):
    is_spent = False

    def start(self) -> None:
        if not self.is_spent:
            super().start()
            self.is_spent = True


class StartsTwice(Receiver):
    def start(self) -> None:
        if not self.is_running:
            super().start()


class StopsWhenStartedTwice(Receiver):
    def start(self) -> None:
        if self.is_running:
            self.stop()
            raise RuntimeError('running already')
        super().start()


class TakesOverTheAddress(Receiver):
    def start(self) -> None:
        if not self.is_running:
            self.nodes.pop(self.node.url.authority, None)
        super().start()


class StopsAnother(Receiver):
    def stop(self) -> None:
        super().stop()
        self.nodes.pop(self.node.url.authority, None)


class CannotStopTwice(Receiver):
    def stop(self) -> None:
        if not self.is_running:
            raise RuntimeError('not running')
        super().stop()


class KeepsListening(Receiver):
    def stop(self) -> None:
        is_running = self.is_running
        super().stop()
        if is_running:
            self.nodes[self.node.url.authority] = self.node


class ListensBeforeStart(Receiver):
    def __init__(self, node: Endpoint, nodes: MutableMapping[str, Any]) -> None:
        super().__init__(node, nodes)
        nodes[node.url.authority] = node

    def start(self) -> None:
        self.nodes.pop(self.node.url.authority, None)
        super().start()
