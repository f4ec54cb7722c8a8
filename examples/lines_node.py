"""A node on the storage of lines_storage.py, alone, that counts its own runs."""

import asyncio
from pathlib import Path

from lines_storage import LinesStorage
from yarl import URL

from consensual.machines import KeyValueStore
from consensual.raft import Node, communication


async def main() -> None:
    url = URL('memory://n1')
    node = Node.from_url(
        url,
        sender=communication.Sender([url], {}),
        state_machine=KeyValueStore(),
        storage=LinesStorage(Path('node.lines')),
    )
    async with node:
        if node.status.role == 'detached':  # nothing was stored: this is the first run
            await node.solo()
        found = await node.query('get', {'key': 'runs'})
        runs = 1 if found is None else found['value'] + 1
        await node.execute('put', {'key': 'runs', 'value': runs})
        print('run', runs)


asyncio.run(main())
