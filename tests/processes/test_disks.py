"""A disk that is full: the node stops and says why, the others go on, and nothing is lost."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.processes import rights
from tests.processes.cluster import Cluster, Process, eventually, founded, urls
from tests.processes.load import load_on

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(
        bool(rights.missing(rights.SYS_ADMIN)), reason=rights.missing(rights.SYS_ADMIN)
    ),
]

LIMIT = 60
SOME = 40
FAILED = 1
ROOM = 24 << 20
"""Bytes of a disk: more than a write-ahead log gets at once, and all that these tests write."""


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """Have a small file system there."""
    folder.mkdir()
    subprocess.run(
        ['/bin/mount', '-t', 'tmpfs', '-o', f'size={ROOM}', 'consensual', str(folder)], check=True
    )
    try:
        yield
    finally:
        subprocess.run(['/bin/umount', '--lazy', str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write a file that takes all the room; return its path."""
    path = folder / 'something else'
    with path.open('wb', buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 12))
        except OSError:
            return path


@pytest_asyncio.fixture(params=[3, pytest.param(5, marks=pytest.mark.long)])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    processes = [Process(url, tmp_path / f'{url.port}') for url in urls(request.param)]
    with ExitStack() as disks:
        for process in processes:
            disks.enter_context(disk(process.folder))
        async with asyncio.timeout(LIMIT * request.param), founded(processes) as found:
            yield found


@pytest.mark.parametrize('role', ['leader', 'follower'])
async def test_node_whose_disk_is_full_stops_and_the_others_go_on(
    cluster: Cluster, role: str
) -> None:
    async with load_on(cluster.members) as load:
        await load.more(SOME // 4)
        leader = await cluster.leader()
        followers = [process for process in cluster.processes if process is not leader]
        stuck = leader if role == 'leader' else followers[0]
        others = [process for process in cluster.processes if process is not stuck]
        in_the_way = fill(stuck.folder)
        assert await stuck.ended() == FAILED
        assert any('has failed' in line and 'full' in line for line in stuck.log)
        await cluster.leader(others)
        await load.more(SOME)
        assert not await cluster.is_ready(stuck)
        in_the_way.unlink()
        await stuck.start()
        await load.more(SOME)
    await eventually(cluster.is_whole)
