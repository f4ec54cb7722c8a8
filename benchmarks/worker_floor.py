"""The floor: what a log on three processes costs at least, with nothing of Raft but the way.

    follow FILE     takes batches, appends and syncs them, says how far it is
    lead FILE       has callers, batches what they want in one turn of the loop

No elections, no recovery, no checks. Batches are msgpack behind their length; a command is
done when it is synced by the leader and by one follower.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import load
import msgspec
import told

encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
FLAGS = os.O_CREAT | os.O_WRONLY | os.O_APPEND


class Line(asyncio.Protocol):
    """One connection; `take` is given what comes."""

    def __init__(self, take: 'Callable[[Line, list[bytes]], None]') -> None:
        self.take = take
        self.rest = b''

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        data, frames, start = self.rest + data, [], 0
        while len(data) >= start + 4:
            end = start + 4 + int.from_bytes(data[start : start + 4])
            if end > len(data):
                break
            frames.append(data[start + 4 : end])
            start = end
        self.rest = data[start:]
        if frames:
            self.take(self, frames)

    def send(self, data: bytes) -> None:
        self.transport.write(len(data).to_bytes(4) + data)


class File:
    """Keeps what comes, as it comes."""

    def __init__(self, path: str) -> None:
        self.file = os.open(path, FLAGS)

    def write(self, frames: list[bytes]) -> None:
        os.write(self.file, b''.join(frames))
        os.fdatasync(self.file)


class Follower:
    def __init__(self, disk: File) -> None:
        self.disk = disk

    def take(self, line: Line, frames: list[bytes]) -> None:
        self.disk.write(frames)
        self.acknowledge(line, frames[-1])

    def acknowledge(self, line: Line, frame: bytes) -> None:
        first, entries = decode(frame)
        line.send(encode(first + len(entries)))

    async def listen(self, port: int) -> bool:
        loop = asyncio.get_running_loop()
        await loop.create_server(lambda: Line(self.take), '127.0.0.1', port)
        return True


class Leader:
    def __init__(self, disk: File) -> None:
        self.disk = disk
        self.loop = asyncio.get_running_loop()
        self.thread = ThreadPoolExecutor(1)
        self.waiting: list[asyncio.Future[None]] = []
        self.under_way: dict[int, asyncio.Future[None]] = {}
        self.last = self.durable = self.committed = 0
        self.is_due = self.is_writing = False
        self.reached: dict[Line, int] = {}

    async def connect(self, ports: list[int]) -> bool:
        for port in ports:
            _, line = await self.loop.create_connection(lambda: Line(self.take), '127.0.0.1', port)
            self.reached[line] = 0
        return True

    async def write(self, callers: int, seconds: float) -> dict:
        return await load.callers(callers, seconds, self.submit)

    async def submit(self, _: int) -> None:
        future = self.loop.create_future()
        self.waiting.append(future)
        if not self.is_due and not self.is_writing:
            self.is_due = True
            self.loop.call_soon(self.flush)
        await future

    def flush(self) -> None:
        self.is_due, self.is_writing = False, True
        futures, self.waiting = self.waiting, []
        frame = encode([self.last, [[1, 1, load.VALUE]] * len(futures)])
        for future in futures:
            self.last += 1
            self.under_way[self.last] = future
        for line in self.reached:
            line.send(frame)
        self.thread.submit(self.sync, frame, self.last)

    def sync(self, frame: bytes, last: int) -> None:
        self.disk.write([frame])
        self.loop.call_soon_threadsafe(self.synced, last)

    def synced(self, last: int) -> None:
        self.durable, self.is_writing = last, False
        self.commit()
        if self.waiting and not self.is_due:
            self.flush()

    def take(self, line: Line, frames: list[bytes]) -> None:
        self.reached[line] = decode(frames[-1])
        self.commit()

    def commit(self) -> None:
        last = min(self.durable, max(self.reached.values()))
        while self.committed < last:
            self.committed += 1
            self.under_way.pop(self.committed).set_result(None)


async def main(role: str, path: str) -> None:
    await told.obey(Leader(File(path)) if role == 'lead' else Follower(File(path)))


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1], sys.argv[2]))
