"""Clients of a node that say, on a WebSocket, what they are told to say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from consensual.http.calls import OpenSession, answers_of, encode


class Wire:
    """One such client."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.leader = ''

    async def send(self, *requests: Any) -> None:
        """Send requests in one frame."""
        await self.socket.send_bytes(encode(list(requests)))

    async def answers(self, count: int) -> list[Any]:
        """Return that many answers, in the order in which they come."""
        answers: list[Any] = []
        while len(answers) < count:
            told = answers_of(await self.socket.receive_bytes(timeout=10))
            self.leader = told.leader
            answers += told.answers
        assert len(answers) == count
        return answers

    async def ask(self, *requests: Any) -> list[Any]:
        """Send requests in one frame; return their answers in the order of numbers."""
        await self.send(*requests)
        return sorted(await self.answers(len(requests)), key=lambda answer: answer.number)

    async def farewell(self) -> int:
        """Wait until it is sent away, whatever it is told before; return the code."""
        while (message := await self.socket.receive(timeout=10)).type is WSMsgType.BINARY:
            pass
        assert message.type is WSMsgType.CLOSE
        return int(message.data)


@asynccontextmanager
async def wire_to(one: Any, **options: Any) -> AsyncIterator[Wire]:
    """Connect to a node."""
    async with (
        ClientSession() as session,
        session.ws_connect(one.url / 'client', max_msg_size=0, **options) as socket,
    ):
        yield Wire(socket)


async def session_of(wire: Wire) -> int:
    """Open a session."""
    (opened,) = await wire.ask(OpenSession(1, 5.0))
    return int(opened.result)
