"""A process with a cluster of three nodes on files, under load until it is killed.

Each line that it writes is out before anything else is done: `begun`; `state NODE JSON`,
`snapshots INDEX` and `ready` once every node has everything back; `submitted N` before a
command is handed in, and `acknowledged N` or `failed N TEXT` once the call has returned.
Who kills it is `killing`.
"""

import argparse
import asyncio
import json
import logging
import os
from asyncio import Future, TaskGroup
from collections.abc import Awaitable, Iterator
from itertools import count
from pathlib import Path
from random import Random

from yarl import URL

from consensual.raft import Node, Write, communication
from consensual.storage import SQLiteStorage
from tests.crashes.ledger import Ledger

URLS = [URL.build(scheme='http', host=name, port=6000) for name in ('alice', 'bob', 'carol')]
HEARTBEAT = 0.02
SNAPSHOT_EVERY = 100
CALLERS = 32
PAUSE = 0.02
"""Seconds between two commands of a caller, at most."""

PATIENCE = 30.0
"""Seconds in which a cluster that was killed is back, on the slowest of machines."""

HELD_BACK = 0.05


class HastyStorage(SQLiteStorage):
    """The mutant: says that a write is durable some time before it hands it in."""

    def write(self, write: Write) -> Awaitable[None]:
        """Lie."""
        loop = asyncio.get_running_loop()
        loop.call_later(HELD_BACK, super().write, write)
        durable: Future[None] = loop.create_future()
        durable.set_result(None)
        return durable


STORAGES = {'sqlite': SQLiteStorage, 'hasty': HastyStorage}


def tell(*words: object) -> None:
    """Write a line, all of it, before returning."""
    line = ' '.join(map(str, words)).encode() + b'\n'
    while line:
        line = line[os.write(1, line) :]


async def main(options: argparse.Namespace) -> None:
    tell('begun')
    nodes: list[Node] = []
    receivers: list[communication.Receiver] = []
    ledgers = [Ledger() for _ in URLS]
    cluster: dict[str, Node] = {}
    for url, ledger in zip(URLS, ledgers, strict=True):
        storage = STORAGES[options.storage](options.directory / f'{url.host}.db')
        node = Node.from_url(
            url,
            sender=communication.Sender([url], cluster),
            state_machine=ledger,
            storage=storage,
            heartbeat=HEARTBEAT,
            snapshot_every=SNAPSHOT_EVERY,
        )
        nodes.append(node)
        receivers.append(communication.Receiver(node, cluster))
        receivers[-1].start()
    await asyncio.gather(*(node.start() for node in nodes))
    if options.is_founding:
        await found(nodes)
    for node in nodes:
        await node.ensure_linearizable(timeout=PATIENCE)
    for node, ledger in zip(nodes, ledgers, strict=True):
        tell('state', node.url.host, json.dumps(ledger.snapshot()))
    tell('snapshots', min(node.status.snapshot_index for node in nodes))
    tell('ready')
    numbers, random = count(options.first), Random(options.first)
    async with TaskGroup() as tasks:
        for caller in range(CALLERS):
            tasks.create_task(ask(nodes[caller % len(nodes)], numbers, random))
        tasks.create_task(change_leaders(nodes, random))
        tasks.create_task(cut_off(receivers, random))


async def found(nodes: list[Node]) -> None:
    """Make one cluster of them, wherever an earlier attempt was killed."""
    first = nodes[0]
    if first.status.cluster_id is None:
        await first.solo()
    async with asyncio.timeout(PATIENCE):
        while missing := {*URLS} - {*first.status.voters}:
            await first.attach_nodes(missing, timeout=PATIENCE / 4)
            await asyncio.sleep(HEARTBEAT)


async def ask(node: Node, numbers: Iterator[int], random: Random) -> None:
    """Have one command after another applied."""
    while True:
        number = next(numbers)
        tell('submitted', number)
        error = await node.enqueue('put', number)
        if error is None:
            tell('acknowledged', number)
        else:
            tell('failed', number, error)
        await asyncio.sleep(random.uniform(0.0, PAUSE))


async def change_leaders(nodes: list[Node], random: Random) -> None:
    """Let terms and votes be among the writes."""
    while True:
        await asyncio.sleep(random.uniform(0.05, 0.4))
        await random.choice(nodes).transfer_leadership()


async def cut_off(receivers: list[communication.Receiver], random: Random) -> None:
    """Let a node miss so much that it is sent a snapshot."""
    while True:
        receiver = random.choice(receivers)
        receiver.stop()
        await asyncio.sleep(10 * HEARTBEAT)
        receiver.start()
        await asyncio.sleep(random.uniform(0.0, 0.2))


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('directory', type=Path)
    parser.add_argument('--first', type=int, required=True, help='the first number to submit')
    parser.add_argument('--founding', dest='is_founding', action='store_true')
    parser.add_argument('--storage', choices=STORAGES, default='sqlite')
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(main(parser.parse_args()))
