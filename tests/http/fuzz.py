"""Inputs by the million for the decoders of what comes by a WebSocket: `python -m tests.http.fuzz`.

Peers' frames; with `--calls`, those of clients and the answers of nodes to them. Each is random
bytes, or a real frame with bytes changed, cut off, repeated or exchanged. It must be taken or
refused by the one error; what is kept stays bounded.
"""

import argparse
import asyncio
import sys
import time
import tracemalloc
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
from yarl import URL

from consensual.http import calls
from consensual.http.frames import (
    MESSAGE_LIMIT,
    PART,
    BadFrame,
    Inbox,
    Outbox,
)
from consensual.raft import MessageKind, Node, communication
from consensual.raft.errors import ConsensualError, InvalidMessage

ROUTE = ['cluster', 'a:1', 'incarnation', 'b:1', 'incarnation']
HEAD: dict[str, Any] = {'route': ROUTE, 'version': 1, 'term': 2}
MESSAGES: tuple[tuple[MessageKind, dict[str, Any]], ...] = (
    (MessageKind.READ_INDEX, HEAD),
    (MessageKind.TIMEOUT_NOW, HEAD),
    (MessageKind.INQUIRE, {**HEAD, 'request': 'x'}),
    (
        MessageKind.PROPOSE,
        {**HEAD, 'payloads': [['command', 1, 1, 1, 'put', '{"key": 1}'], ['session', 'x']]},
    ),
    (
        MessageKind.APPEND_ENTRIES,
        {
            **HEAD,
            'number': 1,
            'prev_log_index': 0,
            'prev_log_term': 0,
            'entries': [[1, 0.5, ['session', 'x']]],
            'leader_commit': 1,
        },
    ),
)
KEPT = 64 << 20
"""Bytes that may be in use at any time, all in all."""


def frames(random: Random) -> Iterator[bytes]:
    """Yield real frames without end, small ones and those of a large message."""
    outbox = Outbox()
    while True:
        for _ in range(random.randrange(1, 4)):
            kind, message = random.choice(MESSAGES)
            data = msgspec.msgpack.encode(message)
            if random.random() < 0.01:
                data *= 3 * PART // len(data)
            if random.random() < 0.1:
                kind = MessageKind(random.randrange(1, 11))
            outbox.put(random.randrange(8), kind, data)
        while outbox:
            yield outbox.frame()


def damaged(random: Random, frame: bytes) -> bytes:
    """Return the frame as a peer with a bug, or a bad will, would send it."""
    data = bytearray(frame)
    match random.randrange(6):
        case 0:
            return random.randbytes(random.randrange(64))
        case 1:
            del data[random.randrange(len(data)) :]
        case 2:
            for _ in range(random.randrange(1, 8)):
                data[random.randrange(len(data))] = random.randrange(256)
        case 3:
            place = random.randrange(len(data))
            data[place:place] = random.randbytes(random.randrange(1, 8))
        case 4:
            data[random.randrange(len(data))] = random.choice(b'\x90\xdd\xdf\xc6\xdb\xd3\xcf\xff')
    return bytes(data)


class Target:
    """A node, and a connection's inbox, which is a new one after each frame that is refused."""

    def __init__(self) -> None:
        self.node = Node.from_url(URL('http://b:1'), sender=communication.Sender([], {}))
        self.inbox = Inbox()
        self.taken = self.refused = 0

    async def take(self, frame: bytes) -> None:
        """Do what a receiver does with a frame."""
        try:
            messages = list(self.inbox.take(frame))
        except BadFrame:
            self.inbox = Inbox()
            self.refused += 1
            return
        for number, kind, rest, data in messages:
            assert rest == 0, number
            assert len(data) <= MESSAGE_LIMIT, number
            try:
                reply = await self.node.receive(
                    kind=MessageKind(kind), message=msgspec.msgpack.decode(data)
                )
                assert isinstance(reply, dict), reply
            except (InvalidMessage, ValueError, RecursionError):
                self.refused += 1
            else:
                self.taken += 1


async def fuzz(inputs: int, seed: int) -> Target:
    """Feed that many inputs; raise what should not have happened."""
    random = Random(seed)
    target, sound = Target(), frames(Random(seed))
    async with target.node:
        before = unchanging(target.node)
        for number in range(inputs):
            frame = damaged(random, next(sound))
            try:
                await target.take(frame)
            except Exception as error:
                raise AssertionError(f'seed {seed}, input {number}: {frame!r:.300}') from error
        assert unchanging(target.node) == before, 'a node was changed by strangers'
    return target


REQUESTS: tuple[calls.Request, ...] = (
    calls.OpenSession(1, 5.0),
    calls.Execute(2, 7, 3, 1, 'put', '{"key": "k", "value": [1, 2.5, null]}', 1.5),
    calls.Query(3, 'get', '{"key": "ü"}', True, 1.5),
    calls.Status(4),
    calls.Leave(5),
)
REPLIES: tuple[calls.Done | calls.Failed, ...] = (
    calls.Done(1, '{"version": 12}'),
    calls.Failed(2, 'NoLeader', 'nobody leads'),
    calls.Failed(3, 'StorageCorrupted', ''),
    calls.Failed(4, 'Exception', 'no error of ours'),
)


class CallTarget:
    """Either end of a client's connection, without the connection."""

    def __init__(self) -> None:
        self.taken = self.refused = 0

    def take(self, frame: bytes) -> None:
        """Do what a node does with a frame of a client, and what that does with an answer."""
        for decode in (calls.requests_of, calls.answers_of):
            try:
                told = decode(frame)
            except calls.BadFrame:
                self.refused += 1
                continue
            self.taken += 1
            if isinstance(told, calls.Answers):
                for answer in told.answers:
                    if isinstance(answer, calls.Failed):
                        assert isinstance(calls.error_of(answer), ConsensualError)


def fuzz_calls(inputs: int, seed: int) -> CallTarget:
    """Feed that many inputs; raise what should not have happened."""
    random, target = Random(seed), CallTarget()
    for number in range(inputs):
        some = random.randrange(1, 4)
        frame = damaged(
            random,
            calls.encode(random.choices(REQUESTS, k=some))
            if random.random() < 0.5
            else calls.encode(calls.Answers('http://a:1', 'x', random.choices(REPLIES, k=some))),
        )
        try:
            target.take(frame)
        except Exception as error:
            raise AssertionError(f'seed {seed}, input {number}: {frame!r:.300}') from error
    return target


def unchanging(node: Node) -> tuple[Any, ...]:
    """Return what no message of a stranger may change."""
    status = node.status
    return status.role, status.term, status.cluster_id, status.last_index, status.voters


def main() -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog='python -m tests.http.fuzz', description=__doc__)
    parser.add_argument('--inputs', type=int, default=100_000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--memory', action='store_true', help='watch it; ten times as slow')
    parser.add_argument('--calls', action='store_true', help='frames of clients, and answers')
    options = parser.parse_args()
    if options.memory:
        tracemalloc.start()
    start = time.monotonic()
    target: Target | CallTarget
    if options.calls:
        target = fuzz_calls(options.inputs, options.seed)
    else:
        target = asyncio.run(fuzz(options.inputs, options.seed))
    print(  # noqa: T201
        f'{options.inputs} inputs in {time.monotonic() - start:.0f} s: '
        f'{target.taken} messages answered, {target.refused} refused'
    )
    if options.memory:
        peak = tracemalloc.get_traced_memory()[1]
        print(f'at most {peak / 2**20:.1f} MiB were in use')  # noqa: T201
        return int(peak > KEPT)
    return 0


if __name__ == '__main__':
    sys.exit(main())
