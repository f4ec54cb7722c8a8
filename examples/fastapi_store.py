"""A key-value store over HTTP, in FastAPI: each process serves its users and is a node as well.

Of the environment: NODE, its URL among the nodes; FOLDER, for its data; PEER_TOKEN and TOKEN,
which nodes, and operators, must know. How to run it is told in examples/README.md.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from yarl import URL

from consensual.http import Receiver, Sender
from consensual.machines import KeyValueStore
from consensual.raft import Node
from consensual.raft.errors import ClusterError, OutcomeUnknown
from consensual.storage import SQLiteStorage

url, peer_token = URL(os.environ['NODE']), os.environ['PEER_TOKEN']
node = Node.from_url(
    url,
    sender=Sender(url, token=peer_token),
    state_machine=KeyValueStore(),
    storage=SQLiteStorage(Path(os.environ['FOLDER']) / 'node.db'),
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Be a node for as long as the application runs; a leader hands over at its end."""
    async with Receiver(node, peer_token=peer_token, client_token=os.environ['TOKEN']), node:
        yield


app = FastAPI(lifespan=lifespan)


@app.put('/{key}')
async def put(key: str, value: Annotated[Any, Body()]) -> Any:
    return await node.execute('put', {'key': key, 'value': value})


@app.get('/{key}')
async def get(key: str) -> Any:
    found = await node.query('get', {'key': key})  # linearizable: what was written is seen
    if found is None:
        raise HTTPException(404)
    return found['value']


@app.exception_handler(ClusterError)
@app.exception_handler(OutcomeUnknown)
async def refuse(_: Request, error: Exception) -> JSONResponse:
    """503: nothing was done, ask another process. 504: it may be done, look before you repeat."""
    return JSONResponse({'error': str(error)}, 504 if isinstance(error, OutcomeUnknown) else 503)
