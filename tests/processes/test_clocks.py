"""Wall clocks that jump: nothing in a cluster depends on them, nor on their being alike."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from tests.processes.cluster import Process, eventually, founded, urls
from tests.processes.load import load_on

LIBRARY = next(Path('/usr/lib').glob('*/faketime/libfaketime.so.1'), None)
pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(LIBRARY is None, reason='not installed: libfaketime'),
]

LIMIT = 60
SOME = 40
TTL = 1.0


class Clock:
    """The wall clock of one process, told by a file; its monotonic clock goes on as it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.jump('+0')

    @property
    def environment(self) -> dict[str, str]:
        return {
            'LD_PRELOAD': str(LIBRARY),
            'FAKETIME_TIMESTAMP_FILE': str(self.path),
            'FAKETIME_NO_CACHE': '1',
            'FAKETIME_DONT_FAKE_MONOTONIC': '1',
            'FAKETIME_FORCE_MONOTONIC_FIX': '0',  # which makes threads wait for a wrong instant
        }

    def jump(self, offset: str) -> None:
        new = self.path.with_suffix('.new')
        new.write_text(offset)
        new.replace(self.path)  # at once: half a file is no time


@pytest.mark.parametrize('size', [3, pytest.param(5, marks=pytest.mark.long)])
async def test_clocks_that_jump_move_neither_elections_nor_expiry(
    size: int, tmp_path: Path
) -> None:
    """Hours forward on the leader, back on a follower: expiry is by the cluster's own clock."""
    clocks = [Clock(tmp_path / f'clock{number}') for number in range(size)]
    processes = [
        Process(url, tmp_path / f'{url.port}', environment=clock.environment)
        for url, clock in zip(urls(size), clocks, strict=True)
    ]
    async with asyncio.timeout(LIMIT * size), founded(processes) as cluster:
        leader = await cluster.leader()
        before = await cluster.status(leader)
        members = cluster.members
        async with load_on(members) as load:
            await load.more(SOME)
            await members.ask('POST', '/put', {'key': 'kept', 'value': 1, 'ttl': 3600.0})
            put_at = monotonic()
            await members.ask('POST', '/put', {'key': 'short', 'value': 1, 'ttl': TTL})
            for process, clock in zip(processes, clocks, strict=True):
                clock.jump('+5h' if process is leader else '-3d')
            await load.more(SOME)
            for clock in clocks:
                clock.jump('-2h')
            await load.more(SOME)

            async def is_gone() -> bool:
                return await members.ask('POST', '/get', {'key': 'short'}) is None

            await eventually(is_gone)
            assert monotonic() - put_at >= TTL, 'it is kept for as long as was said'
            assert (await members.ask('POST', '/get', {'key': 'kept'}))['value'] == 1
        after = await cluster.status(leader)
        assert (after['role'], after['term']) == ('leader', before['term'])
        await eventually(cluster.is_whole)
        for process in processes:
            assert await process.terminate() == 0
            said_at = datetime.fromisoformat(process.log[-1][: len('2000-01-01 00:00:00')])
            age = datetime.now(tz=UTC) - said_at.astimezone()
            assert age > timedelta(hours=1), 'its clock did jump'
