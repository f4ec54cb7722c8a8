"""`storage readdress`: data become another node's, or a backup the same one's, on purpose."""

import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from consensual.cli import main
from consensual.raft import NodeStatus
from consensual.raft.errors import StorageMismatch
from consensual.storage.sqlite_database import Database
from tests.api.marks import in_virtual_time
from tests.clusters import Cluster, Ledger, T, url_of, urls_of
from tests.storage.sqlite_files import (
    HARD_STATE,
    STORED,
    append,
    copy_of,
    files_beside,
    load,
    loaded,
    make,
)

Output = pytest.CaptureFixture[str]
pytestmark = in_virtual_time


def readdress(path: Path, url: object) -> int:
    try:
        return main(['storage', 'readdress', str(path), str(url)])
    except SystemExit as error:
        return int(error.code or 0)  # argparse gives a number


# the file


async def test_history_is_kept_and_promises_are_not(tmp_path: Path) -> None:
    """Design §4, Identity: another incarnation, which never votes in the old one's name."""
    path, incarnations = await make(tmp_path / 'node.db'), {HARD_STATE.incarnation}
    for url, node_id in (
        ('http://carol:2', 'carol:2'),
        ('http://carol:2', 'carol:2'),
        ('memory://dave', 'dave'),
    ):
        assert readdress(path, url) == 0
        stored = await load(path)
        assert stored is not None
        incarnation = stored.hard_state.incarnation
        assert re.fullmatch('[0-9a-f]{16}', incarnation)
        assert incarnation not in incarnations, 'the same node gets another one, too'
        incarnations.add(incarnation)
        hard_state = replace(
            HARD_STATE,
            node_id=node_id,
            incarnation=incarnation,
            is_attached=False,
            voted_for='',
            voted_incarnation='',
        )
        assert stored == replace(STORED, hard_state=hard_state)
        assert files_beside(path) == ['node.db']


async def test_what_was_done_and_what_to_do_next_is_told(tmp_path: Path, capsys: Output) -> None:
    path = await make(tmp_path / 'node.db')
    assert readdress(path, 'http://carol:2') == 0
    stored = await load(path)
    assert stored is not None
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == (
        f'{path}: the data of bob:1 (incarnation incarnation) are now those of carol:2 '
        f'(incarnation {stored.hard_state.incarnation}),'
    )
    assert lines[0].startswith('which is in no cluster and voted for nobody. Term, cluster id, log')
    assert [line.split()[0] for line in lines[2:4]] == ['solo()', 'detach()']
    assert lines[4].startswith('Its cluster still counts on the incarnation that it was.')
    assert lines[5].startswith('detach that member; or empty the node under the same URL')
    assert readdress(path, 'http://dave:3') == 0
    assert len(capsys.readouterr().out.splitlines()) == 5, 'it is no member of a cluster now'


async def test_file_of_a_node_that_was_killed_is_readdressed(tmp_path: Path) -> None:
    """What stands in the write-ahead log belongs to it."""
    async with loaded(tmp_path / 'node.db') as (storage, _):
        for number in range(1, 10):
            await storage.write(append(number))
        path = copy_of(tmp_path / 'node.db', 'killed.db')
    assert len(files_beside(path)) == 2
    assert readdress(path, 'http://carol:2') == 0
    stored = await load(path)
    assert stored is not None
    assert (stored.hard_state.node_id, len(stored.entries)) == ('carol:2', 9)
    assert files_beside(path) == ['killed.db']


# what is refused


async def test_file_in_use_is_left_as_it_is(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / 'node.db'
    async with loaded(path) as (storage, _):
        for number in (1, 2):
            assert readdress(path, 'http://carol:2') == 2
            output = capsys.readouterr()
            assert output.err.startswith(f'storage: {path} is in use by a node')
            assert output.out == ''
            await storage.write(append(number))
    stored = await load(path)
    assert stored is not None
    assert stored.hard_state == HARD_STATE


async def test_what_is_no_storage_is_left_as_it_is(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / 'text').write_text('buy milk\n' * 100)
    (tmp_path / 'empty').touch()
    with closing(sqlite3.connect(tmp_path / 'other')) as connection:
        connection.execute('CREATE TABLE t (a)')
    newer = await make(tmp_path / 'later')
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute('PRAGMA user_version = 2')
    assert await load(tmp_path / 'new') is None
    for name, problem in (
        ('nothing', 'there is no file'),
        ('text', 'is no file of SQLite'),
        ('empty', 'is empty'),
        ('other', 'another program made'),
        ('later', 'has format 2'),
        ('new', 'nothing was written to'),
    ):
        path = tmp_path / name
        before = {other: (tmp_path / other).read_bytes() for other in files_beside(path)}
        assert readdress(path, 'http://carol:2') == 2
        output = capsys.readouterr()
        assert problem in output.err
        assert (output.err[:9], output.out) == ('storage: ', '')
        assert {other: (tmp_path / other).read_bytes() for other in files_beside(path)} == before


async def test_damaged_file_is_left_as_it_is(tmp_path: Path, capsys: Output) -> None:
    """A new name does not make it sound."""
    path = await make(tmp_path / 'node.db')
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE log SET parameters = '1' WHERE idx = 7")
        before = connection.execute('SELECT * FROM node').fetchall()
    assert readdress(path, 'http://carol:2') == 1
    assert 'log entry 7 fails its checksum' in capsys.readouterr().err
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute('SELECT * FROM node').fetchall() == before


@pytest.mark.parametrize('url', ['', 'carol', 'http://', 'http://u:p@carol', 'http://carol:x'])
async def test_url_that_names_no_node_is_refused(tmp_path: Path, url: str, capsys: Output) -> None:
    path = await make(tmp_path / 'node.db')
    assert readdress(path, url) == 2
    assert 'argument URL: ' in capsys.readouterr().err
    assert await load(path) == STORED


# nodes


class KeptLedger(Ledger):
    """A ledger whose log can be compacted."""

    def snapshot(self) -> list[Any]:
        return [*self.entries]

    def restore(self, value: list[Any]) -> None:
        self.entries = value


async def make_owner(cluster: Cluster, path: Path, *, is_compacted: bool = False) -> NodeStatus:
    """Leave the file of a node `a`, the only member of its cluster; return its last status."""
    options: dict[str, Any] = {'state_machine': KeptLedger(), 'snapshot_every': 1}
    owner = cluster.make('a', storage=Database(path), **(options if is_compacted else {}))
    assert await owner.solo() is None
    for number in range(3):
        await owner.execute('add', number)
    if is_compacted:
        await owner.take_snapshot()
    status = owner.status
    await owner.stop()
    return status


@pytest.mark.parametrize('is_compacted', [False, True])
async def test_other_node_goes_on_alone_with_the_history(
    tmp_path: Path, is_compacted: bool
) -> None:
    """As after leaving a cluster: nobody attaches it with that history, solo is a new cluster."""
    path = tmp_path / 'a.db'
    async with Cluster('c') as cluster:
        before = await make_owner(cluster, path, is_compacted=is_compacted)
        assert (before.snapshot_index > 0) is is_compacted
        ledger = KeptLedger()
        heir = cluster.make('b', storage=Database(path), state_machine=ledger)
        with pytest.raises(StorageMismatch, match=r"Database\('.*a.db'\) holds the data of a"):
            await heir.start()
        assert readdress(path, url_of('b')) == 0
        await heir.start()
        assert (heir.status.role, heir.status.term) == ('detached', before.term)
        assert heir.status.last_index == before.last_index
        text = await cluster['c'].attach_nodes(urls_of('b'))
        assert text is not None
        assert 'b has a history, of another cluster: reset it first' in text
        assert await heir.solo() is None
        assert heir.status.cluster_id not in (None, before.cluster_id)
        assert heir.status.term > before.term
        assert heir.status.voters == (url_of('b'),)
        assert await heir.execute('add', 'new') == 4
        assert ledger.entries == [0, 1, 2, 'new']
        await heir.stop()
        with pytest.raises(StorageMismatch, match='holds the data of b, and a wanted'):
            await cluster['a'].start()


async def test_other_node_is_emptied_and_joins_a_cluster(tmp_path: Path) -> None:
    path = tmp_path / 'a.db'
    async with Cluster('c') as cluster:
        assert await cluster['c'].execute('add', 'of c') == 1
        await make_owner(cluster, path)
        assert readdress(path, url_of('b')) == 0
        newcomer = cluster.make('b', storage=Database(path))
        assert await newcomer.detach() is None
        assert newcomer.status.last_index == 0
        assert await cluster['c'].attach_nodes(urls_of('b')) is None
        await cluster.until_equal('bc')
        assert cluster.ledgers['b'].entries == ['of c']


async def test_restored_backup_votes_for_nobody_until_it_is_emptied(tmp_path: Path) -> None:
    """It has forgotten entries and votes, so it must not count where they do (design §4)."""
    paths = {name: tmp_path / f'{name}.db' for name in 'abc'}
    async with Cluster('') as cluster:
        for name in 'abc':
            cluster.make(name, storage=Database(paths[name]))
        assert await cluster['a'].solo() is None
        assert await cluster['a'].attach_nodes(urls_of('bc')) is None
        assert await cluster['a'].execute('add', 0) == 1
        await cluster.until_equal()
        backup = copy_of(paths['c'], 'backup.db')
        assert await cluster['a'].execute('add', 1) == 2
        await cluster['c'].stop()
        assert readdress(backup, url_of('c')) == 0
        cluster.make('c', storage=Database(backup))
        await cluster['c'].start()
        cluster.network.cut_off('a')
        await cluster.until(lambda: not cluster.leaders)
        await asyncio.sleep(20 * T)
        assert not cluster.leaders, 'a majority is a and b'
        assert cluster['c'].status.role == 'detached'
        cluster.network.heal()
        await cluster.until_led('ab')
        await asyncio.sleep(20 * T)
        assert cluster['c'].status.role == 'detached', 'nor is it taken in again with its history'
        assert await cluster['c'].detach() is None
        await cluster.until(lambda: cluster['c'].status.role == 'follower')
        assert await cluster['c'].execute('add', 2, timeout=10 * T) == 3
        assert cluster.ledgers['c'].entries == [0, 1, 2]
