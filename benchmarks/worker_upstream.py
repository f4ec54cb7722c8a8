"""One measurement of consensual 0.2.3, run by an interpreter that has it: MODE NUMBER.

There `enqueue` returns before the command is applied, so the worker waits for
the leader's processor to be called.
"""

import asyncio
import logging
import os
import sys

import load
from yarl import URL

from consensual.raft import Node, plain


async def main(mode: str, number: int) -> None:
    """Measure on a cluster of three nodes in this process."""
    logging.disable(logging.CRITICAL)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    waiters: dict[int, asyncio.Future] = {}

    def applied(index: int) -> None:
        waiter = waiters.pop(index, None)
        if waiter is not None:
            loop.call_soon_threadsafe(waiter.set_result, None)

    registry: dict = {}
    urls = [URL.build(scheme='http', host='127.0.0.1', port=6000 + index) for index in range(3)]
    nodes = [
        Node.from_url(
            url,
            heartbeat=0.1,
            loop=loop,
            sender=plain.Sender([url], registry),
            processors={'put': applied if index == 0 else lambda _: None},
        )
        for index, url in enumerate(urls)
    ]
    for node in nodes:
        plain.Receiver(node, registry).start()
    leader = nodes[0]
    await leader.solo()
    await asyncio.sleep(0.3)
    await leader.attach_nodes(urls[1:])
    await asyncio.sleep(1)

    async def submit(index: int) -> None:
        waiter = waiters[index] = loop.create_future()
        error = await leader.enqueue('put', index)
        if error is None:
            await waiter

    async with asyncio.timeout(60):
        await load.run('closed64', 500, submit)
        figures = await load.run(mode, number, submit)
    load.report(figures)


if __name__ == '__main__':
    try:
        asyncio.run(main(sys.argv[1], int(sys.argv[2])))
    except TimeoutError:
        print('{"error": "not finished within 60 s"}', flush=True)
    os._exit(0)
