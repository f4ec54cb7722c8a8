"""The blocking client, called from threads while the cluster runs on another thread's loop."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread, current_thread
from typing import Any

import pytest
from yarl import URL

from consensual.http import blocking
from consensual.http.blocking import BlockingClient
from consensual.http.client import ClientClosed
from consensual.raft.errors import NoLeader, ProcessorFailed
from tests.http.client_clusters import ServedCluster


@contextmanager
def running_cluster() -> Iterator[list[URL]]:
    """Run three nodes on a loop in another thread; yield their URLs."""
    seeds: list[URL] = []
    is_up, is_over = Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async with ServedCluster(3) as cluster:
            seeds.extend(cluster.seeds)
            is_up.set()
            await is_over.wait()

    thread = Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert is_up.wait(20)
        yield seeds
    finally:
        loop.call_soon_threadsafe(is_over.set)
        thread.join()
        loop.close()


def test_calls_block_and_return() -> None:
    """The same calls, with the same results and errors."""
    with running_cluster() as seeds, BlockingClient(seeds) as client:
        assert client.execute('add', 'x') == 1
        assert client.query('entries') == ['x']
        assert client.query('count', 'y', consistency='local') == 0
        assert client.status().url == client.url
        with pytest.raises(ProcessorFailed, match='no 7'):
            client.execute('fail', 7)
        assert 'BlockingClient' in repr(client)


def test_many_threads_share_one_client() -> None:
    """Each command counts once."""
    with (
        running_cluster() as seeds,
        BlockingClient(seeds) as client,
        ThreadPoolExecutor(16) as pool,
    ):
        results = list(pool.map(lambda n: client.execute('add', n), range(200)))
        assert sorted(results) == list(range(1, 201))
        assert sorted(client.query('entries')) == list(range(200))


def test_call_that_comes_as_the_client_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is handed in before the loop ends, or not at all: behind that, nobody would answer it."""
    is_coming, is_over, ended = Event(), Event(), []
    hand_in = blocking.run_coroutine_threadsafe

    def hand_in_late(call: Any, loop: asyncio.AbstractEventLoop) -> Any:
        if current_thread() is caller:
            is_coming.set()
            is_over.wait(0.5)  # as far as the end gets meanwhile
        return hand_in(call, loop)

    def call() -> None:
        with pytest.raises(ClientClosed):
            client.query('count', 'x', consistency='local')
        ended.append(ClientClosed)

    caller = Thread(target=call, daemon=True)
    client = BlockingClient(['http://127.0.0.1:1'])
    with client:
        monkeypatch.setattr(blocking, 'run_coroutine_threadsafe', hand_in_late)
        caller.start()
        assert is_coming.wait(20)
    is_over.set()
    caller.join(20)
    assert ended == [ClientClosed]


def test_client_is_used_within_its_block() -> None:
    """Before and after, it says so."""
    client = BlockingClient(['http://127.0.0.1:1'])
    with pytest.raises(ClientClosed, match='with'):
        client.execute('add', 1)
    with client, pytest.raises(NoLeader, match=r'within 0\.1 s'):
        client.execute('add', 1, timeout=0.1)
    with pytest.raises(ClientClosed):
        client.query('entries')
    with pytest.raises(ClientClosed, match='opened once'), client:
        """Never reached."""
