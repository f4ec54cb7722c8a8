"""The floor of the parts that this library is made of: see `worker_floor`.

There is nothing of Raft in it, either; but batches go through aiohttp's WebSockets, and into SQLite
by a thread of its own, on each side. What a library of these parts takes beyond that is its own.
"""

import asyncio
import sqlite3
import sys
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

import told
import worker_floor
from aiohttp import ClientSession, ClientWebSocketResponse, web
from worker_floor import decode

Socket = web.WebSocketResponse | ClientWebSocketResponse


class File(worker_floor.File):
    """Keeps each entry as a row; a batch is a transaction."""

    def __init__(self, path: str) -> None:
        self.database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.database.execute('PRAGMA locking_mode = EXCLUSIVE')
        self.database.execute('PRAGMA journal_mode = WAL')
        self.database.execute('PRAGMA synchronous = FULL')
        self.database.execute('CREATE TABLE log (idx INTEGER PRIMARY KEY, value TEXT)')

    def write(self, frames: list[bytes]) -> None:
        rows = [
            (index, value)
            for first, entries in map(decode, frames)
            for index, (_, _, value) in enumerate(entries, first)
        ]
        if len(rows) == 1:
            self.database.execute('INSERT INTO log VALUES (?, ?)', *rows)
        else:
            self.database.execute('BEGIN')
            self.database.executemany('INSERT INTO log VALUES (?, ?)', rows)
            self.database.execute('COMMIT')


class Writer(Thread):
    """Does what it is handed, one after another."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.jobs: SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]] = SimpleQueue()
        self.start()

    def submit(self, do: Callable[..., None], *arguments: Any) -> None:
        self.jobs.put((do, arguments))

    def run(self) -> None:
        while True:
            do, arguments = self.jobs.get()
            do(*arguments)


class Line(worker_floor.Line):
    """One WebSocket; it sends one message after another."""

    def __init__(self, socket: Socket, take: 'Callable[[Line, list[bytes]], None]') -> None:
        super().__init__(take)
        self.socket = socket
        self.loop = asyncio.get_running_loop()
        self.sending: set[asyncio.Task[None]] = set()

    def send(self, data: bytes) -> None:
        task = self.loop.create_task(self.socket.send_bytes(data))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)

    async def run(self) -> None:
        async for message in self.socket:
            self.take(self, [message.data])


class Follower(worker_floor.Follower):
    def __init__(self, disk: File) -> None:
        super().__init__(disk)
        self.loop = asyncio.get_running_loop()
        self.thread = Writer()

    def take(self, line: worker_floor.Line, frames: list[bytes]) -> None:
        self.thread.submit(self.sync, line, frames)

    def sync(self, line: worker_floor.Line, frames: list[bytes]) -> None:
        self.disk.write(frames)
        self.loop.call_soon_threadsafe(self.acknowledge, line, frames[-1])

    async def listen(self, port: int) -> bool:
        async def serve(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse(compress=False, max_msg_size=0)
            await socket.prepare(request)
            await Line(socket, self.take).run()
            return socket

        app = web.Application()
        app.router.add_get('/', serve)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, '127.0.0.1', port).start()
        return True


class Leader(worker_floor.Leader):
    def __init__(self, disk: File) -> None:
        super().__init__(disk)
        self.thread = Writer()

    async def connect(self, ports: list[int]) -> bool:
        self.session = ClientSession()
        self.running = []
        for port in ports:
            socket = await self.session.ws_connect(f'http://127.0.0.1:{port}/', max_msg_size=0)
            line = Line(socket, self.take)
            self.reached[line] = 0
            self.running.append(self.loop.create_task(line.run()))
        return True


async def main(role: str, path: str) -> None:
    await told.obey(Leader(File(path)) if role == 'lead' else Follower(File(path)))


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1], sys.argv[2]))
