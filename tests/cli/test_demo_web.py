"""The page of the demo without a browser: what is served, to whom, and what an order may be."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from consensual.cli import main
from consensual.cli.demo import PORT
from consensual.cli.demo.web.cluster import CALL_LIMIT, HEARTBEAT, NODE_LIMIT, Cluster
from consensual.cli.demo.web.network import Network
from consensual.cli.demo.web.server import STREAM_LIMIT, Frames, application
from tests.http.serving import Answer, Client, ask

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'consensual' / 'cli' / 'demo' / 'web' / 'page'
ENQUEUE = {'do': 'enqueue', 'text': 'x'}
LIMIT = 10.0
"""Seconds within which a condition must come true."""


@asynccontextmanager
async def served(size: int = 3) -> AsyncIterator[tuple[Client, Cluster]]:
    """Serve a cluster without latency."""
    cluster, ending = Cluster(size, heartbeat=0.05), asyncio.Event()
    await cluster.found()
    cluster.network.latency = 0.0
    async with TestClient(TestServer(application(cluster, ending)), timeout=None) as client:
        yield client, cluster
        ending.set()
    await cluster.close()


async def order(client: Client, do: str, **fields: Any) -> Answer:
    body = json.dumps({'do': do, **fields})
    headers = {'Content-Type': 'application/json'}
    async with client.post('/orders', data=body, headers=headers) as response:
        answer = await response.json()
        return Answer(response.status, answer['error'], answer['result'], response.headers)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110 - a cluster shows itself to who looks
            await asyncio.sleep(0.01)


def commands(cluster: Cluster, name: str) -> list[str]:
    """Return the commands in the log of a node."""
    cells = cluster.replicas[name].disk.cells
    return [json.loads(cell.text) for cell in cells if cell.kind == 'command']


def told(cluster: Cluster) -> str:
    return '\n'.join(event.text for event in cluster.events)


# what is served


@pytest.mark.asyncio
async def test_page_is_served_with_all_that_it_names() -> None:
    """No part of it comes from elsewhere, nor is it shown inside of another page."""
    async with served() as (client, _):
        for path in PAGE.iterdir():
            name = '' if path.name == 'index.html' else path.name
            async with client.get(f'/{name}') as response:
                assert response.status == 200
                assert await response.read() == path.read_bytes()
                assert "frame-ancestors 'none'" in response.headers['Content-Security-Policy']
                assert "default-src 'self'" in response.headers['Content-Security-Policy']
    text = ''.join(path.read_text(encoding='utf-8') for path in PAGE.iterdir())
    assert 'http://' not in text.replace('http://www.w3.org/2000/svg', '')
    assert 'https://' not in text


@pytest.mark.asyncio
async def test_other_paths_are_not_there() -> None:
    """Nothing else of the disk is served."""
    async with served() as (client, _):
        for path in ('/server.py', '/../server.py', '/%2e%2e/server.py', '/page/main.js'):
            assert (await ask(client, 'GET', path)).status == 404


@pytest.mark.skipif(find_spec('setuptools') is None, reason='setuptools is not installed')
def test_wheel_carries_the_page(tmp_path: Path) -> None:
    """As pip builds it: the files are part of the package."""
    command = [sys.executable, 'setup.py', '-q', 'build_py', '--build-lib', str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    built = tmp_path / PAGE.relative_to(ROOT)
    assert {path.name for path in built.iterdir()} == {path.name for path in PAGE.iterdir()}


# to whom


@pytest.mark.asyncio
@pytest.mark.parametrize(
    'headers',
    [
        {'Host': 'evil.example'},
        {'Host': 'evil.example:8765'},
        {'Host': '127.0.0.1.evil.example'},
        {'Host': '10.0.0.1'},
        {'Origin': 'http://evil.example'},
        {'Origin': 'null'},
        {'Origin': 'http://localhost:1'},
        {'Sec-Fetch-Site': 'cross-site'},
        {'Sec-Fetch-Site': 'same-site'},
    ],
    ids=lambda headers: ' '.join(map(': '.join, headers.items())),
)
async def test_page_of_another_site_is_refused(headers: dict[str, str]) -> None:
    """It can neither order anything nor see the stream, however it names this machine."""
    async with served() as (client, cluster):
        kind = {'Content-Type': 'application/json'}
        body = json.dumps({'do': 'cut', 'node': 'S1'})
        refused = await ask(client, 'POST', '/orders', headers=kind | headers, data=body)
        assert refused.status == 403
        assert (await ask(client, 'GET', '/stream', headers=headers)).status == 403
        assert cluster.network.far_side == set()


@pytest.mark.asyncio
async def test_own_page_and_other_programs_of_this_machine_are_served() -> None:
    """A browser names the page's own origin; curl names none."""
    async with served() as (client, cluster):
        host = f'localhost:{client.port}'
        own = {'Host': host, 'Origin': f'http://{host}', 'Sec-Fetch-Site': 'same-origin'}
        kind = {'Content-Type': 'application/json'}
        for name, headers in (('S1', own), ('S2', {})):
            body = json.dumps({'do': 'cut', 'node': name})
            done = await ask(client, 'POST', '/orders', headers=kind | headers, data=body)
            assert done.status == 200
        assert cluster.network.far_side == {'S1', 'S2'}


@pytest.mark.asyncio
async def test_link_from_another_site_leads_to_the_page() -> None:
    """To look at it is no harm."""
    headers = {'Sec-Fetch-Site': 'cross-site'}
    async with served() as (client, _), client.get('/', headers=headers) as response:
        assert response.status == 200


@pytest.mark.asyncio
async def test_order_that_a_form_could_send_is_refused() -> None:
    """A form of another site needs no permission to send text/plain."""
    async with served() as (client, _):
        data = json.dumps(ENQUEUE)
        headers = {'Content-Type': 'text/plain'}
        assert (await ask(client, 'POST', '/orders', data=data, headers=headers)).status == 415


# orders


@pytest.mark.asyncio
@pytest.mark.parametrize(
    'body',
    [
        b'',
        b'{',
        b'\xff',
        b'null',
        b'[]',
        b'[' * 2000,
        b'{}',
        b'{"do": "explode"}',
        b'{"do": "cut"}',
        b'{"do": "cut", "node": 1}',
        b'{"do": "cut", "node": "S1", "hard": true}',
        b'{"do": "cut", "node": "S123456789"}',
        json.dumps({'do': 'enqueue', 'text': 'x' * 25}).encode(),
        b'{"do": "tune", "latency": 0.7, "loss": 0}',
        b'{"do": "tune", "latency": -0.1, "loss": 0}',
        b'{"do": "tune", "latency": NaN, "loss": 0}',
        b'{"do": "tune", "latency": 0.1, "loss": 0.6}',
    ],
    ids=lambda body: repr(body[:50]),
)
async def test_what_is_no_order_is_an_error_in_json(body: bytes) -> None:
    """And changes nothing."""
    async with served() as (client, cluster):
        before = cluster.event_count
        headers = {'Content-Type': 'application/json'}
        refused = await ask(client, 'POST', '/orders', data=body, headers=headers)
        assert refused.status == 400
        assert refused.error is not None
        assert refused.error.startswith('no order: ')
        assert cluster.event_count == before


@pytest.mark.asyncio
async def test_large_body_is_refused() -> None:
    """More than any order takes is not read."""
    async with served() as (client, _):
        headers = {'Content-Type': 'application/json'}
        assert (
            await ask(client, 'POST', '/orders', data=b' ' * 5000, headers=headers)
        ).status == 413


@pytest.mark.asyncio
async def test_order_that_cannot_be_carried_out_says_why() -> None:
    """Understood, and refused as things are."""
    async with served() as (client, _):
        assert (await order(client, 'cut', node='S7')).error == (
            "there is no node 'S7'; there are S1, S2, S3"
        )
        assert (await order(client, 'heal')).error == 'nothing is cut off'
        assert (await order(client, 'restart', node='S1')).error == 'S1 is running already'
        assert (await order(client, 'attach', node='S1')).error is not None
        assert (await order(client, 'kill', node='S2')).error is None
        assert (await order(client, 'kill', node='S2')).error == 'S2 is down: restart it first'
        assert (await order(client, 'enqueue', node='S2')).error is not None


@pytest.mark.asyncio
async def test_node_that_is_killed_comes_back_with_its_log() -> None:
    """What it had is on its disk; what it missed it is sent."""
    async with served() as (client, cluster):
        await order(client, 'enqueue', text='before')
        await until(lambda: all(commands(cluster, name) == ['before'] for name in cluster.replicas))
        await order(client, 'kill', node='S1')
        await until(lambda: cluster.picture()['leader'] not in (None, 'S1'))
        await order(client, 'enqueue', text='meanwhile')
        await until(lambda: commands(cluster, 'S2') == ['before', 'meanwhile'])
        assert commands(cluster, 'S1') == ['before']
        await order(client, 'restart', node='S1')
        await until(lambda: commands(cluster, 'S1') == ['before', 'meanwhile'])


@pytest.mark.asyncio
async def test_leader_that_is_cut_off_is_replaced_and_its_log_overwritten() -> None:
    """The far side is a minority: it commits nothing."""
    async with served() as (client, cluster):
        await order(client, 'cut', node='S1')
        await order(client, 'enqueue', text='lost', node='S1')
        await until(lambda: cluster.picture()['leader'] not in (None, 'S1'))
        await order(client, 'enqueue', text='kept')
        await until(lambda: commands(cluster, 'S2') == ['kept'])
        await order(client, 'heal')
        await until(lambda: commands(cluster, 'S1')[:1] == ['kept'])
        await until(lambda: cluster.picture()['calls'] == 0)
        await until(lambda: commands(cluster, 'S1') == commands(cluster, 'S2'))


@pytest.mark.asyncio
async def test_detached_node_is_emptied_and_attached_again() -> None:
    """Only an empty node can be attached."""
    async with served() as (client, cluster):
        await order(client, 'detach', node='S3')
        await until(lambda: 'detaching S3: it is no member any more' in told(cluster))
        await until(lambda: cluster.picture()['nodes'][2]['role'] == 'detached')
        assert cluster.picture()['nodes'][2]['membership'] == ''
        assert (await order(client, 'detach', node='S3')).error == 'S3 is detached already'
        await order(client, 'attach', node='S3')
        await until(lambda: 'attaching S3: it votes' in told(cluster))
        assert cluster.picture()['nodes'][2]['membership'] == 'voter'


@pytest.mark.asyncio
async def test_number_of_nodes_and_of_calls_is_bounded() -> None:
    """However often somebody clicks."""
    async with served(NODE_LIMIT - 1) as (client, cluster):
        assert (await order(client, 'attach')).error is None
        await until(lambda: f'attaching S{NODE_LIMIT}: it votes' in told(cluster))
        assert (await order(client, 'attach')).error == (
            f'there are {NODE_LIMIT} nodes, and no room for more'
        )
        await order(client, 'cut', node='S1')
        answers = [await order(client, 'enqueue', node='S1') for _ in range(CALL_LIMIT + 1)]
        assert [answer.error for answer in answers[:-1]] == [None] * CALL_LIMIT
        assert answers[-1].error == f'{CALL_LIMIT} calls are under way: wait for one of them'


# the stream


@pytest.mark.asyncio
async def test_stream_begins_with_all_there_is_and_goes_on_with_what_changes() -> None:
    """Messages are those since the page was opened."""
    async with served() as (client, cluster), client.get('/stream') as stream:
        assert stream.content_type == 'text/event-stream'
        first = json.loads((await stream.content.readline()).removeprefix(b'data: '))
        assert [node['name'] for node in first['picture']['nodes']] == ['S1', 'S2', 'S3']
        assert first['events'][0]['text'] == 'S1 is the leader of term 1'
        await order(client, 'enqueue', text='seen')
        async with asyncio.timeout(LIMIT):
            async for line in stream.content:
                if b'"S1: \'seen\': committed and applied"' in line:
                    break
        assert cluster.network.travel_count > 0


@pytest.mark.asyncio
async def test_number_of_streams_is_bounded() -> None:
    """One more is told so; when another one has ended, it is served."""
    async with served() as (client, _):
        streams = [await client.get('/stream') for _ in range(STREAM_LIMIT)]
        assert (await ask(client, 'GET', '/stream')).status == 503
        for stream in streams:
            stream.close()
        async with asyncio.timeout(LIMIT):
            while True:
                async with client.get('/stream') as response:
                    if response.status == 200:
                        break


@pytest.mark.asyncio
async def test_frames_tell_each_thing_once() -> None:
    """Where nothing is new there is no frame."""
    cluster = Cluster(3)
    frames = Frames(cluster)
    cluster.tell('one')
    first = frames.next()
    assert first is not None
    assert [event['text'] for event in json.loads(first)['events']] == ['one']
    assert frames.next() is None
    cluster.tell('two', is_bad=True)
    second = frames.next()
    assert second is not None
    assert set(json.loads(second)) == {'events'}


@pytest.mark.asyncio
async def test_of_too_many_messages_heartbeats_are_left_out_first() -> None:
    """So that elections are seen on a busy network."""
    network = Network(Random(1))
    network.latency = 0.0
    for kind in ['Heartbeat'] * 5 + ['RequestVote'] + ['Heartbeat'] * 5:
        await network.carry('S1', 'S2', kind, is_reply=False, is_yes=True)
    assert len(network.travels_since(0, 20)) == 11
    assert [travel.kind for travel in network.travels_since(0, 10)] == ['RequestVote']
    assert network.travels_since(11, 10) == []


# the command


def test_ended_by_ctrl_c_it_says_nothing_more() -> None:
    """It tells where the page is, and listens on loopback only."""
    with subprocess.Popen(
        [sys.executable, '-m', 'consensual', 'demo', '--web', '--port', '0', '--nodes', '3'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith('demo: 3 nodes; open http://127.0.0.1:')
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest, errors) == (0, '', '')


def test_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The page is not served, and another port is asked for."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
        assert main(['demo', '--web', '--port', str(port)]) == 2
    said = capsys.readouterr().err
    assert said.startswith('demo: --web: ')
    assert f'{port}' in said
    assert said.count('\n') == 1


def test_missing_aiohttp_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the extra that brings it."""
    for name in [*sys.modules]:
        if name.startswith('consensual.cli.demo.web') or name == 'aiohttp':
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'aiohttp', None)
    assert main(['demo', '--web']) == 2
    said = capsys.readouterr().err
    assert "pip install 'consensual[http]'" in said
    assert said.count('\n') == 1


@pytest.mark.parametrize(
    'arguments',
    [['--web', '--input', 'file'], ['--web', '--port', '65536'], ['--web', '--port', 'x']],
)
def test_arguments_are_checked(arguments: list[str]) -> None:
    """The page replicates no file; a port is a port."""
    with pytest.raises(SystemExit) as raised:
        main(['demo', *arguments])
    assert raised.value.code == 2


def test_page_of_docs_names_the_buttons_and_limits_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And the flags of the command."""
    page = (ROOT / 'docs' / 'demo.md').read_text(encoding='utf-8')
    with pytest.raises(SystemExit):
        main(['demo', '--help'])
    assert set(re.findall(r'--[a-z]+', page)) <= set(
        re.findall(r'--[a-z]+', capsys.readouterr().out)
    )
    drawn = ''.join((PAGE / name).read_text(encoding='utf-8') for name in ('index.html', 'rows.js'))
    buttons = re.findall(r'^\| \*\*(.+?)\*\*', page, re.MULTILINE)
    assert len(buttons) == 9
    assert [name for name in buttons if f'>{name}<' not in drawn and f"'{name}'" not in drawn] == []
    assert f'There are {NODE_LIMIT} nodes at most, {CALL_LIMIT} calls under way' in page
    assert f'and {STREAM_LIMIT} pages open' in page
    assert f'Heartbeats are {HEARTBEAT} s apart' in page
    assert f'{PORT}' in page
