"""A transport of one's own: nodes of one host talk over Unix sockets, a connection per message.

unix://n1/run/n1.sock is the node n1 at that path; the folder's rights say who may talk to it.
"""

import asyncio
import json
from contextlib import closing, suppress
from typing import Any

from yarl import URL

from consensual import raft


async def ask(path: str, question: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    with closing(writer):  # also when the node cancels the call, because it takes too long
        writer.write(question)
        writer.write_eof()
        return await reader.read()


class UnixSender(raft.Sender):
    urls = ()  # the node assigns whom it knows

    async def send(self, *, kind: raft.MessageKind, message: Any, url: URL) -> Any:
        if url not in self.urls:
            raise raft.ReceiverUnavailable(f'{url} is none of the nodes that this one knows')
        try:
            return json.loads(await ask(url.path, json.dumps([kind, message]).encode()))
        except (OSError, ValueError) as error:  # an empty answer is no JSON, either
            raise raft.ReceiverUnavailable(f'{url} gives no answer: {error}') from error


class UnixReceiver(raft.Receiver):
    is_running = False

    def __init__(self, node: raft.Endpoint) -> None:
        self._node = node

    async def start(self) -> None:
        path = self._node.url.path
        with suppress(ConnectionRefusedError, FileNotFoundError):  # a file may be left, of nobody
            await ask(path, b'')
            raise (RuntimeError if self.is_running else OSError)(f'somebody listens at {path}')
        self._server = await asyncio.start_unix_server(self._answer, path)
        self.is_running = True

    async def stop(self) -> None:
        if self.is_running:
            self._server.close()
            self.is_running = False

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(raft.ConsensualError, OSError, ValueError):  # or no answer
            kind, message = json.loads(await reader.read())
            reply = await self._node.receive(kind=raft.MessageKind(kind), message=message)
            writer.write(json.dumps(reply).encode())
