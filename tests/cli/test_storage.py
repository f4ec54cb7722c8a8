"""The commands that look into a storage, as somebody who types them sees it."""

import asyncio
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from consensual.cli import main
from consensual.raft import Node, communication
from tests.storage.sqlite_files import (
    RECORDS,
    append,
    copy_of,
    files_beside,
    load,
    loaded,
    make,
    wal_of,
)

Output = pytest.CaptureFixture[str]
DOCUMENT = Path(__file__).parents[2] / 'docs' / 'storage.md'


def run(*arguments: object) -> int:
    try:
        return main(['storage', *map(str, arguments)])
    except SystemExit as error:
        return int(error.code or 0)  # argparse gives a number


@pytest.mark.asyncio
async def test_inspect_tells_where_the_node_stands(tmp_path: Path, capsys: Output) -> None:
    path = await make(tmp_path / 'node.db')
    before = path.read_bytes()
    assert run('inspect', path) == 0
    *lines, size = capsys.readouterr().out.splitlines()
    created_by = lines.pop(2)
    assert created_by.startswith('created by        consensual ')
    assert lines == [
        f'file              {path}',
        'format            1',
        'node              bob:1',
        'incarnation       incarnation',
        'cluster           cluster',
        'member            yes',
        'term              7',
        'vote              alice:1',
        'log               5 entries, 4 to 8, the last one of term 7',
        'snapshot          up to entry 3 of term 5, 17 bytes, voters alice:1',
    ]
    assert size == (
        f'size              {len(before)} bytes in the file, 0 bytes of it free, '
        '0 bytes in the write-ahead log'
    )
    assert files_beside(path) == ['node.db'], 'nothing is left behind'
    assert path.read_bytes() == before


@pytest.mark.asyncio
async def test_inspect_of_what_was_never_written_to_says_so(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / 'node.db'
    assert await load(path) is None
    assert run('inspect', path) == 0
    output = capsys.readouterr().out
    assert 'node              nothing was written yet\n' in output
    assert 'log               no entries, the next one is 1\n' in output
    assert 'snapshot          -\n' in output
    assert run('verify', path) == 0
    assert capsys.readouterr().out == 'verified 2 records\n'


@pytest.mark.asyncio
async def test_verify_counts_the_records(tmp_path: Path, capsys: Output) -> None:
    path = await make(tmp_path / 'node.db')
    assert run('verify', path) == 0
    assert capsys.readouterr().out == f'verified {RECORDS} records\n'


@pytest.mark.asyncio
async def test_verify_tells_the_first_damage(tmp_path: Path, capsys: Output) -> None:
    path = await make(tmp_path / 'node.db')
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE log SET parameters = '1' WHERE idx IN (7, 8)")
    for action in ('verify', 'export', 'inspect'):
        assert run(action, path) == 1
        errors = capsys.readouterr().err
        assert errors.startswith(f'storage: {path}: log entry 7 fails its checksum; ')


@pytest.mark.asyncio
async def test_verify_finds_damage_between_the_records(tmp_path: Path, capsys: Output) -> None:
    """What only SQLite can tell: a page that belongs to nothing."""
    path = await make(tmp_path / 'node.db')
    content = bytearray(path.read_bytes())
    pages = int.from_bytes(content[28:32]) + 1
    content[28:32] = pages.to_bytes(4)
    path.write_bytes(content + bytes(4096))
    assert run('verify', path) == 1
    assert f'{path}: the file is malformed' in capsys.readouterr().err


@pytest.mark.asyncio
async def test_damaged_write_ahead_log_is_told(tmp_path: Path, capsys: Output) -> None:
    """Nothing of it is changed: whoever saves what can be saved needs it as it is."""
    async with loaded(tmp_path / 'node.db') as (storage, _):
        for number in range(1, 10):
            await storage.write(append(number))
        path = copy_of(tmp_path / 'node.db', 'killed.db')
    assert run('verify', path) == 0
    assert capsys.readouterr().out == 'verified 12 records\n', 'what a kill leaves is sound'
    content = bytearray(wal_of(path).read_bytes())
    content[32 + 24 + 3000] ^= 1
    wal_of(path).write_bytes(content)
    for action in ('verify', 'export', 'inspect'):
        assert run(action, path) == 1
        assert 'killed.db-wal: frame 1 fails its checksum' in capsys.readouterr().err
    assert wal_of(path).read_bytes() == content


@pytest.mark.asyncio
async def test_export_prints_a_line_of_json_for_each_entry(tmp_path: Path, capsys: Output) -> None:
    path = await make(tmp_path / 'node.db')
    assert run('export', path) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    alice = {'id': 'alice:1', 'url': 'http://alice:1', 'incarnation': 'incarnation of alice'}
    assert lines == [
        {'index': 4, 'term': 5, 'time': 1.25, 'kind': 'noop'},
        {'index': 5, 'term': 6, 'time': 2.5, 'kind': 'session', 'opener': 'opener'},
        {
            'index': 6,
            'term': 6,
            'time': 3.0,
            'kind': 'configuration',
            'voters': [alice],
            'outgoing': [],
            'learners': [],
            'request': 'request',
            'failure': '',
        },
        {
            'index': 7,
            'term': 7,
            'time': 4.75,
            'kind': 'command',
            'session': 5,
            'sequence': 1,
            'lowest': 1,
            'action': 'add',
            'parameters': {'amount': 40},
        },
        lines[3] | {'index': 8, 'time': 5.0, 'sequence': 2, 'parameters': {'amount': 2}},
    ]


@pytest.mark.parametrize(
    ('options', 'indices'),
    [
        (['--from', '6'], [6, 7, 8]),
        (['--to', '5'], [4, 5]),
        (['--from', '5', '--to', '5'], [5]),
        (['--from', '9'], []),
        (['--to', '3'], []),
    ],
)
@pytest.mark.asyncio
async def test_export_can_be_limited(
    tmp_path: Path, capsys: Output, options: list[str], indices: list[int]
) -> None:
    path = await make(tmp_path / 'node.db')
    assert run('export', path, *options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)['index'] for line in lines] == indices


@pytest.mark.parametrize('action', ['inspect', 'verify', 'export'])
@pytest.mark.asyncio
async def test_storage_in_use_is_refused(tmp_path: Path, capsys: Output, action: str) -> None:
    """Before its first write as after it."""
    path = tmp_path / 'node.db'
    async with loaded(path) as (storage, _):
        for number in (1, 2):
            assert run(action, path) == 2
            output = capsys.readouterr()
            assert output.err.startswith(f'storage: {path} is in use by a node')
            assert output.out == ''
            await storage.write(append(number))


@pytest.mark.parametrize('action', ['inspect', 'verify', 'export'])
@pytest.mark.asyncio
async def test_what_is_no_storage_is_refused(tmp_path: Path, capsys: Output, action: str) -> None:
    (tmp_path / 'text').write_text('buy milk\n' * 100)
    (tmp_path / 'empty').touch()
    with closing(sqlite3.connect(tmp_path / 'other')) as connection:
        connection.execute('CREATE TABLE t (a)')
    newer = await make(tmp_path / 'newer')
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute('PRAGMA user_version = 2')
    for name, problem in (
        ('nothing', 'there is no file'),
        ('.', 'there is no file'),
        ('text', 'is no file of SQLite'),
        ('empty', 'is empty'),
        ('other', 'another program made'),
        ('newer', 'has format 2'),
    ):
        assert run(action, tmp_path / name) == 2
        output = capsys.readouterr()
        assert problem in output.err
        assert output.err.startswith('storage: ')
        assert output.out == ''


@pytest.mark.parametrize(
    'arguments',
    [
        [],
        ['inspect'],
        ['destroy', 'node.db'],
        ['export', 'node.db', '--from', '0'],
        ['export', 'node.db', '--to', 'x'],
        ['export', 'node.db', '--from', '5', '--to', '4'],
        ['verify', 'node.db', '--from', '1'],
    ],
)
@pytest.mark.asyncio
async def test_bad_arguments_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    await make(tmp_path / 'node.db')
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2


def test_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    """`export | head -1`."""
    asyncio.run(make(tmp_path / 'node.db'))
    reading, writing = os.pipe()
    os.close(reading)
    arguments = [sys.executable, '-m', 'consensual', 'storage', 'export', tmp_path / 'node.db']
    done = subprocess.run(arguments, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b'')


@pytest.mark.asyncio
async def test_commands_of_the_documentation_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """docs/storage.md: each line that is shown is run."""
    await make(tmp_path / 'node.db')
    monkeypatch.chdir(tmp_path)
    lines = re.findall(
        r'^\$ python -m consensual (.*)$', DOCUMENT.read_text(encoding='utf-8'), re.MULTILINE
    )
    assert len(lines) == 4
    for line in lines:
        assert main(shlex.split(line)) == 0, line
        assert capsys.readouterr().out


@pytest.mark.asyncio
async def test_example_of_the_documentation_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """A node on a file finds its cluster again; stopped, it leaves a sound file."""
    (example,) = re.findall(r'```python\n(.*?)```', DOCUMENT.read_text(encoding='utf-8'), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for is_first in (True, False):
        url = URL('http://localhost:6000')
        names: dict[str, Any] = {
            'url': url,
            'sender': communication.Sender([url], {}),
            'Node': Node,
        }
        exec(example, names)  # noqa: S102 - of our own documentation
        async with names['node'] as node:
            assert not is_first or await node.solo() is None
            await node.ensure_linearizable()
    assert run('verify', 'node.db') == 0
    assert capsys.readouterr().out.startswith('verified ')
