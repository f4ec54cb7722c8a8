"""The other end of `workers.Worker`: a process that does what lines of JSON tell it.

Imports nothing of any library, so that each interpreter can use it.
"""

import asyncio
import json
import sys


async def obey(deeds: object) -> None:
    """Call these methods as standard input says, one after another, until it ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        what = json.loads(line)
        print(json.dumps(await getattr(deeds, what.pop('do'))(**what)), flush=True)
