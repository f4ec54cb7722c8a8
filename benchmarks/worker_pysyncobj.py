"""A node of PySyncObj with a journal, which it does not sync, and load in its process.

JOURNAL batches|single ADDRESS PARTNER …
"""

import asyncio
import logging
import os
import sys
import time

import load
import told
from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated


class Store(SyncObj):
    def __init__(self, address: str, partners: list[str], conf: SyncObjConf) -> None:
        self.data: dict[str, str] = {}
        super().__init__(address, partners, conf)

    @replicated
    def put(self, key: str, value: str) -> None:
        self.data[key] = value


class Member:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.loop = asyncio.get_running_loop()

    def call(self, index: int) -> asyncio.Future:
        future = self.loop.create_future()

        def settle(error: object) -> None:
            if not future.done():
                future.set_result(error)

        self.store.put(
            load.key(index),
            load.VALUE,
            callback=lambda _, error: self.loop.call_soon_threadsafe(settle, error),
        )
        return future

    async def leads(self) -> bool:
        status = self.store.getStatus()
        return self.store.isReady() and status['leader'] == status['self']

    async def write(self, callers: int, seconds: float) -> dict:
        async def put(index: int) -> None:
            if (error := await self.call(index)) != FAIL_REASON.SUCCESS:
                raise SystemExit(f'a command failed: {error}')

        return await load.callers(callers, seconds, put)

    async def probe(self) -> float:
        """Try again and again; return when a write is acknowledged."""
        acknowledged = self.loop.create_future()

        def note(future: asyncio.Future) -> None:
            if future.result() == FAIL_REASON.SUCCESS and not acknowledged.done():
                acknowledged.set_result(time.monotonic())

        while not acknowledged.done():
            self.call(0).add_done_callback(note)
            await asyncio.wait([acknowledged], timeout=0.005)
        return acknowledged.result()


logging.disable()  # it says what it truncates


async def main(journal: str, style: str, address: str, partners: list[str]) -> None:
    conf = SyncObjConf(journalFile=journal, appendEntriesUseBatch=style == 'batches')
    await told.obey(Member(Store(address, partners, conf)))
    os._exit(0)  # its thread goes on for ever


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
