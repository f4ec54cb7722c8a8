"""The blocking client, called from threads while the cluster runs on another thread's loop."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event, Thread

import pytest
from yarl import URL

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


def test_calls_of_other_threads_end_with_the_client() -> None:
    """None of them waits for ever, at whatever moment it came."""

    def call_on(client: BlockingClient) -> None:
        with suppress(ClientClosed):
            while True:
                client.query('count', 'x', consistency='local')

    with running_cluster() as seeds:
        for _ in range(10):
            with BlockingClient(seeds) as client:
                client.query('entries')
                callers = [Thread(target=call_on, args=(client,), daemon=True) for _ in range(8)]
                for caller in callers:
                    caller.start()
            for caller in callers:
                caller.join(20)
            assert not any(caller.is_alive() for caller in callers)


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
