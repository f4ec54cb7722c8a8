"""One process, or two: what founds a cluster, whom it lets in, how it ends."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from yarl import URL

from consensual.cli.asking import FORBIDDEN, AskingError, Members
from consensual.cli.config import client_context
from consensual.testing.ports import free_url
from tests.processes.cluster import Process, eventually, urls

WORD = 'swordfish'
LIMIT = 40
"""Seconds that a test may take."""


@asynccontextmanager
async def running(*processes: Process) -> AsyncIterator[None]:
    """End the processes in the end."""
    try:
        async with asyncio.timeout(LIMIT):
            yield
    except BaseException:
        for process in processes:
            print(process, *process.log[-30:], sep='\n  ')  # noqa: T201 - shown when it fails
        raise
    finally:
        await asyncio.gather(*(process.clear_away() for process in processes))


async def status_of(url: URL, **settings: Any) -> Any:
    async with Members([url], **settings) as members:
        return await members.ask('GET', '/status')


async def leads(url: URL, **settings: Any) -> None:
    """Wait until the node leads."""

    async def is_leader() -> bool:
        return bool((await status_of(url, **settings))['role'] == 'leader')

    await eventually(is_leader)


async def votes(url: URL, **settings: Any) -> None:
    """Wait until the node votes."""

    async def is_voter() -> bool:
        return url in map(URL, (await status_of(url, **settings))['voters'])

    await eventually(is_voter)


async def has_said(process: Process, text: str) -> bool:
    return any(text in line for line in process.log)


def serve(*arguments: object) -> tuple[int, str]:
    """Run what ends by itself; return its exit status and what it says."""
    done = subprocess.run(
        [sys.executable, '-m', 'consensual', 'serve', *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.asyncio
async def test_founding_is_done_once_whatever_is_said_at_the_next_start(tmp_path: Path) -> None:
    (url, nobody) = urls(2)
    process = Process(url, tmp_path / 'made' / 'data')
    async with running(process):
        await process.start('--solo')
        await leads(url)
        async with Members([url]) as members:
            await members.ask('POST', '/put', {'key': 'k', 'value': 1})
        founded = await status_of(url)
        for flags in (['--solo'], ['--join', nobody], []):
            assert await process.terminate() == 0
            await process.start(*flags)
            await leads(url)
            assert (await status_of(url))['cluster_id'] == founded['cluster_id']
        async with Members([url]) as members:
            assert (await members.ask('POST', '/get', {'key': 'k'}))['value'] == 1


@pytest.mark.asyncio
async def test_data_and_addresses_that_others_use_are_refused(tmp_path: Path) -> None:
    (url, other) = urls(2)
    process = Process(url, tmp_path)
    async with running(process):
        await process.start('--solo')
        await leads(url)
        status, said = await asyncio.to_thread(serve, '--url', url, '--data-dir', tmp_path)
        assert (status, 'cannot serve' in said) == (1, True)
        status, said = await asyncio.to_thread(serve, '--url', url, '--data-dir', tmp_path / 'b')
        assert (status, 'Address already in use' in said) == (2, True)
        assert await process.terminate() == 0
        status, said = await asyncio.to_thread(serve, '--url', other, '--data-dir', tmp_path)
        assert (status, 'readdress' in said) == (1, True)


def test_other_hosts_are_not_let_in_unasked(tmp_path: Path) -> None:
    bind = f'0.0.0.0:{free_url().port}'
    status, said = serve('--url', 'http://a:1', '--bind', bind, '--data-dir', tmp_path)
    assert status == 2
    assert 'could command the node' in said
    assert 'Traceback' not in said


@pytest.mark.asyncio
async def test_advertised_and_bound_address_may_differ(tmp_path: Path) -> None:
    (bound,) = urls(1)
    process = Process(URL(f'http://node.example:{bound.port}'), tmp_path)
    async with running(process):
        await process.start('--bind', f'127.0.0.1:{bound.port}', '--solo')
        await leads(bound)
        assert URL((await status_of(bound))['url']) == process.url


@pytest.mark.asyncio
async def test_settings_may_stand_in_a_file_and_name_any_state_machine(tmp_path: Path) -> None:
    (url,) = urls(1)
    (tmp_path / 'node.toml').write_text(
        'solo = true\nlog-json = true\nstate-machine = "consensual.machines:Lock"\n'
    )
    process = Process(url, tmp_path)
    async with running(process):
        await process.start('--config', tmp_path / 'node.toml')
        await leads(url)
        async with Members([url]) as members:
            with pytest.raises(AskingError, match="'acquire'"):
                await members.ask('POST', '/put', {'key': 'k', 'value': 1})
        assert process.log[0].startswith('{"time":')


@pytest.mark.asyncio
async def test_founder_that_lost_its_data_joins_the_cluster_that_it_founded(tmp_path: Path) -> None:
    """With `--solo` and `--join` it founds one only where the others are in none."""
    first, second, third = (Process(url, tmp_path / f'{url.port}') for url in urls(3))
    founder = '--solo', '--join', second.url, third.url
    async with running(first, second, third):
        await first.start(*founder)
        await eventually(lambda: has_said(first, 'founds no cluster yet'))
        await second.start('--join', first.url, third.url)
        await third.start('--join', first.url, second.url)
        for process in (first, second, third):
            await votes(process.url)
        cluster_id = (await status_of(second.url))['cluster_id']
        await first.kill()
        first.wipe()
        await first.start(*founder)
        await votes(first.url)
        assert (await status_of(first.url))['cluster_id'] == cluster_id


@pytest.mark.asyncio
async def test_tokens_are_asked_for_and_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('CONSENSUAL_PEER_TOKEN', 'pike')
    (tmp_path / 'token').write_text(f'{WORD}\n')
    (tmp_path / 'wrong').write_text('perch\n')
    token = '--token-file', tmp_path / 'token'
    first, second, third = (Process(url, tmp_path / f'{url.port}') for url in urls(3))
    async with running(first, second, third):
        await first.start('--solo', *token)
        await second.start('--join', first.url, *token)
        await votes(second.url, token=WORD)
        with pytest.raises(AskingError) as caught:
            await status_of(first.url)
        assert caught.value.status == FORBIDDEN
        await third.start(*token, '--peer-token-file', tmp_path / 'wrong')
        async with Members([first.url], token=WORD) as members:
            with pytest.raises(AskingError, match=f'{third.url}|{third.url.port}'):
                await members.ask('POST', '/', [str(third.url)], timeout=2)
            assert len((await members.ask('GET', '/status'))['voters']) == 2
    log = ''.join(first.log + second.log + third.log)
    assert 'serving' in log
    assert not [word for word in ('pike', WORD, 'perch') if word in log]


@pytest.mark.asyncio
async def test_mutual_tls_lets_in_only_who_has_a_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / 'ca.pem')
    issued = authority.issue_cert('127.0.0.1')
    issued.private_key_pem.write_to_path(tmp_path / 'key.pem')
    for pem in issued.cert_chain_pems:
        pem.write_to_path(tmp_path / 'cert.pem', append=True)
    cert, key, ca = (tmp_path / name for name in ('cert.pem', 'key.pem', 'ca.pem'))
    tls = '--tls-cert', cert, '--tls-key', key, '--tls-ca', ca
    first, second = (Process(url.with_scheme('https'), tmp_path / f'{url.port}') for url in urls(2))
    async with running(first, second):
        await first.start('--solo', *tls)
        await second.start('--join', first.url, *tls)
        await votes(second.url, context=client_context(cert, key, ca))
        with pytest.raises(AskingError) as caught:
            await status_of(first.url, context=client_context(None, None, ca))
        assert caught.value.status != 0
        with pytest.raises(AskingError) as caught:
            await status_of(first.url, context=client_context(cert, key, None))
        assert caught.value.status == FORBIDDEN
