"""The client for programs without an event loop: the same calls, which block their thread."""

import ssl
from asyncio import (
    AbstractEventLoop,
    all_tasks,
    current_task,
    new_event_loop,
    run_coroutine_threadsafe,
    wait,
)
from collections.abc import Collection, Coroutine
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any, Optional, Self, TypeVar, Union

from yarl import URL

from consensual.http.client import Client, ClientClosed, Consistency
from consensual.raft.driver.status import NodeStatus

Result = TypeVar('Result')

PATIENCE = 1.0
"""Seconds that calls of other threads are given, once they have failed, to tell their callers."""


class BlockingClient:
    """A `Client` on an event loop in a thread of its own; any number of threads may call.

    seeds, token, ssl, timeout: see `Client`.

    Use it as `with BlockingClient(seeds) as client:`.
    """

    def __init__(
        self,
        seeds: Collection[Union[URL, str]],
        *,
        token: Optional[str] = None,
        ssl: Optional[ssl.SSLContext] = None,
        timeout: float = 5.0,
    ) -> None:
        self._client = Client(seeds, token=token, ssl=ssl, timeout=timeout)
        self._door = Lock()
        self._loop: Optional[AbstractEventLoop] = None
        self._thread: Optional[Thread] = None

    def __repr__(self) -> str:
        return f'Blocking{self._client!r}'

    @property
    def url(self) -> Optional[URL]:
        """The node that it talks to, None while there is none."""
        return self._client.url

    def __enter__(self) -> Self:
        if self._loop is not None or self._thread is not None:
            raise ClientClosed('a client is opened once: make another one')
        self._loop = loop = new_event_loop()
        self._thread = Thread(target=loop.run_forever, name='consensual client', daemon=True)
        self._thread.start()
        self._wait(self._client.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        with self._door:  # no call comes behind the end of the loop, where nobody would answer it
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        try:
            _wait_for(run_coroutine_threadsafe(self._end(loop), loop))
        finally:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    def execute(
        self, action: str, parameters: Any = None, *, timeout: Optional[float] = None
    ) -> Any:
        """Have a command applied, once. See `Client.execute`."""
        return self._wait(self._client.execute(action, parameters, timeout=timeout))

    def query(
        self,
        name: str,
        parameters: Any = None,
        *,
        consistency: Consistency = 'linearizable',
        timeout: Optional[float] = None,
    ) -> Any:
        """Return the result of a query. See `Client.query`."""
        return self._wait(
            self._client.query(name, parameters, consistency=consistency, timeout=timeout)
        )

    def status(self, *, timeout: Optional[float] = None) -> NodeStatus:
        """Return the status of the node that it talks to. See `Client.status`."""
        return self._wait(self._client.status(timeout=timeout))

    async def _end(self, loop: AbstractEventLoop) -> None:
        await self._client.__aexit__()
        if others := all_tasks() - {current_task()}:
            await wait(others, timeout=PATIENCE)
        await loop.shutdown_default_executor()

    def _wait(self, call: Coroutine[Any, Any, Result]) -> Result:
        with self._door:
            future = run_coroutine_threadsafe(call, self._loop) if self._loop is not None else None
        if future is None:
            call.close()
            raise ClientClosed('open the client by `with`, and use it there')
        return _wait_for(future)


def _wait_for(future: 'Future[Result]') -> Result:
    try:
        return future.result()
    except BaseException:
        future.cancel()  # of a caller that was interrupted
        raise
