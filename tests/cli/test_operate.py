"""The operator's commands, as somebody who types them sees it."""

import asyncio
import io
import json
from pathlib import Path

import pytest

from tests.cli.served_cluster import cluster_served, consensual, nodes_served, unused_url
from tests.http.serving import Guarded

pytestmark = pytest.mark.asyncio
Output = pytest.CaptureFixture[str]


async def test_status_shows_every_member_side_by_side(capsys: Output) -> None:
    async with cluster_served(3) as nodes:
        assert await consensual('status', '--node', nodes[1].url) == 0
        cluster_id = nodes[0].status.cluster_id
        summary, head, *rows = capsys.readouterr().out.splitlines()
    assert summary == f'cluster {cluster_id}, led by {nodes[0].url.host_port_subcomponent}'
    assert head.split() == [
        'node',
        'role',
        'term',
        'leader',
        'last',
        'commit',
        'applied',
        'snapshot',
    ]
    assert {row.split()[0]: row.split()[1] for row in rows} == {
        nodes[0].url.host_port_subcomponent: 'leader',
        nodes[1].url.host_port_subcomponent: 'follower',
        nodes[2].url.host_port_subcomponent: 'follower',
    }


async def test_status_as_json_is_one_line_for_programs(capsys: Output) -> None:
    async with cluster_served(3) as nodes:
        assert await consensual('status', '--json', '--node', nodes[2].url) == 0
        (line,) = capsys.readouterr().out.splitlines()
        cluster = json.loads(line)
        assert cluster['cluster_id'] == nodes[0].status.cluster_id
    assert cluster['leader'].removesuffix('/') == str(nodes[0].url)
    assert [member['role'] for member in cluster['members']].count('leader') == 1


async def test_status_waits_until_all_is_well(capsys: Output) -> None:
    async with nodes_served(3) as nodes:
        wait = 'status', '--node', nodes[0].url, '--wait'
        assert await consensual(*wait, 1, '--timeout', '0.1') == 3
        assert 'nobody leads' in capsys.readouterr().err
        assert await nodes[0].solo() is None
        assert await consensual(*wait, 1) == 0
        assert await consensual(*wait, 3, '--timeout', '0.1') == 3
        assert '1 vote, not 3' in capsys.readouterr().err
        waiting = asyncio.create_task(consensual(*wait, 3))
        assert await nodes[0].attach_nodes([node.url for node in nodes[1:]]) is None
        assert await waiting == 0
        await nodes[2].stop()
        assert await consensual(*wait, 3, '--timeout', '0.1') == 3


async def test_status_names_members_that_do_not_answer(capsys: Output) -> None:
    async with cluster_served(3) as nodes:
        dead = unused_url()
        async with nodes_served(1) as (other,):
            assert await consensual('status', '--node', dead, '--node', nodes[0].url) == 0
            assert 'led by' in capsys.readouterr().out
            assert await consensual('status', '--node', other.url) == 3
            assert capsys.readouterr().out.startswith('no cluster')
    assert await consensual('status', '--node', dead) == 3
    assert f'{dead} cannot be reached' in capsys.readouterr().err


async def test_cluster_grows_changes_its_leader_and_shrinks(capsys: Output) -> None:
    async with nodes_served(3) as nodes:
        first, second, third = (node.url for node in nodes)
        assert await consensual('solo', '--node', first) == 0
        assert await consensual('attach', second, third, '--node', first) == 0
        assert set(nodes[2].status.voters) == {first, second, third}
        assert await consensual('transfer', third, '--node', second) == 0
        assert nodes[2].status.role == 'leader'
        assert await consensual('snapshot', '--node', third) == 0
        assert await consensual('detach', first, '--node', second) == 0
        assert await consensual('detach', '--node', second) == 0
        assert nodes[2].status.voters == (third,)
        assert await consensual('detach', '--reset', '--yes', '--node', first) == 0
        assert nodes[0].status.last_index == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [
        f'{first} leads a cluster of one',
        f'attached {second} {third}',
        f'{third}',
        out[3],
        f'detached {first}',
        f'detached {second}',
        f'reset {first}',
    ]
    assert out[3].startswith('snapshot up to entry ')


async def test_solo_and_reset_ask_before_they_do_harm(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    async with cluster_served(2) as nodes:
        cluster_id = nodes[1].status.cluster_id
        monkeypatch.setattr('sys.stdin', io.StringIO())
        assert await consensual('solo', '--node', nodes[1].url) == 2
        assert 'give --yes' in capsys.readouterr().err
        monkeypatch.setattr('sys.stdin', Terminal('no\n'))
        assert await consensual('solo', '--node', nodes[1].url) == 1
        monkeypatch.setattr('sys.stdin', Terminal('\n'))
        assert await consensual('detach', '--reset', '--node', nodes[1].url) == 1
        assert nodes[1].status.cluster_id == cluster_id
        monkeypatch.setattr('sys.stdin', Terminal('yes\n'))
        assert await consensual('solo', '--node', nodes[1].url) == 0
        assert nodes[1].status.cluster_id != cluster_id
        monkeypatch.setattr('sys.stdin', io.StringIO())
        assert await consensual('solo', '--node', nodes[1].url) == 0  # nobody is left behind


async def test_call_runs_actions_and_queries(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster_served(1) as (node,):
        monkeypatch.setenv('CONSENSUAL_NODES', f'{unused_url()} {node.url}')
        assert await consensual('call', 'put', '{"key": "k", "value": [1]}') == 0
        monkeypatch.setattr('sys.stdin', io.StringIO('{"key": "k"}'))
        assert await consensual('call', '--local', 'get', '-') == 0
        wrote, read = map(json.loads, capsys.readouterr().out.splitlines())
        assert read == {'value': [1], 'version': wrote['version']}
        assert await consensual('call', 'paint') == 1
        assert "'paint' is no action" in capsys.readouterr().err
        assert await consensual('call', 'put', '{"key":') == 2
        assert await consensual('call', 'put', 'NaN') == 2


async def test_kv_reads_and_writes(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    async def kv(*arguments: object) -> tuple[int, str]:
        status = await consensual('kv', *arguments)
        return status, capsys.readouterr().out.strip()

    async with cluster_served(1) as (node,):
        monkeypatch.setenv('CONSENSUAL_NODES', str(node.url))
        assert await kv('get', 'colour') == (1, '')
        status, version = await kv('put', 'colour', '"red"')
        assert status == 0
        assert await kv('get', 'colour') == (0, '"red"')
        assert await kv('get', 'colour', '--text') == (0, 'red')
        status, text = await kv('get', 'colour', '--version', '--local')
        assert json.loads(text) == {'value': 'red', 'version': int(version)}
        assert (await kv('cas', 'colour', '"blue"', '--expected', '"green"'))[0] == 1
        assert (await kv('cas', 'colour', 'blue', '--text', '--version', version))[0] == 0
        assert (await kv('cas', 'shape', '1', '--absent', '--ttl', '60'))[0] == 0
        assert (await kv('cas', 'shape', '1', '--absent'))[0] == 1
        status, text = await kv('range')
        assert [json.loads(line)['key'] for line in text.splitlines()] == ['colour', 'shape']
        status, text = await kv('range', 'c', '--limit', '1')
        assert [json.loads(line)['value'] for line in text.splitlines()] == ['blue']
        assert await kv('delete', 'shape') == (0, '{"deleted": true}')
        assert (await kv('put', 'colour', 'red'))[0] == 2
        assert (await kv('put', '', '1'))[0] == 1


async def test_range_prints_all_pages(capsys: Output) -> None:
    async with cluster_served(1) as (node,):
        for number in range(5):
            await node.execute('put', {'key': f'{number}', 'value': 'x' * 500_000})
        assert await consensual('kv', 'range', '--node', node.url) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [json.loads(line)['key'] for line in lines] == list('01234')
        assert await consensual('kv', 'range', '--limit', '4', '--node', node.url) == 0
        assert len(capsys.readouterr().out.splitlines()) == 4


async def test_exit_status_tells_what_is_known_of_the_outcome(capsys: Output) -> None:
    async with cluster_served(2) as nodes:
        node = nodes[0].url
        put = 'put', '{"key": "k", "value": 1}'
        assert await consensual('call', *put, '--node', node) == 0
        await nodes[1].stop()
        assert await consensual('call', *put, '--timeout', '0.2', '--node', node) == 4
        await nodes[0].stop()
        assert await consensual('call', *put, '--node', node) == 3
    assert await consensual('call', *put) == 2
    assert await consensual('call', *put, '--node', 'here') == 2
    assert await consensual('call', *put, '--node', 'http://h:1', '--timeout', '0') == 2
    assert 'whom to ask?' in capsys.readouterr().err


@pytest.mark.parametrize('seconds', ['0', '-1', 'nan', 'inf', 'soon', '60.5'])
async def test_seconds_are_above_zero_and_up_to_a_limit(seconds: str, capsys: Output) -> None:
    node = '--node', unused_url()
    assert await consensual('status', '--timeout', seconds, *node) == 2
    assert f'{seconds!r} is no number of seconds above 0, up to 60\n' in capsys.readouterr().err
    if seconds != '60.5':
        assert await consensual('bench', '--seconds', seconds, *node) == 2
        said = capsys.readouterr().err
        assert f'{seconds!r} is no number of seconds above 0, up to 3600\n' in said


async def test_token_is_read_from_a_file_or_the_environment(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'token'
    async with cluster_served(1, access=Guarded()) as (node,):
        status = 'status', '--node', node.url
        assert await consensual(*status) == 5
        path.write_text('sesame\n')
        assert await consensual(*status, '--token-file', path) == 0
        monkeypatch.setenv('CONSENSUAL_TOKEN', 'wrong')
        assert await consensual(*status) == 5
        monkeypatch.setenv('CONSENSUAL_TOKEN', 'sesame')
        assert await consensual(*status) == 0
        path.write_text('two words')
        assert await consensual(*status, '--token-file', path) == 2
        assert 'two words' not in capsys.readouterr().err
        assert await consensual(*status, '--token-file', tmp_path / 'none') == 2


async def test_status_watches_until_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('consensual.cli.status.INTERVAL', 0)
    said: list[str] = []

    def say(*texts: str, **_: object) -> None:
        said.append(texts[0])
        if len(said) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr('builtins.print', say)
    async with cluster_served(1) as (node,):
        assert await consensual('status', '--watch', '--json', '--node', node.url) == 130
    assert len({json.loads(text)['leader'] for text in said}) == 1


async def test_any_name_can_be_called(capsys: Output) -> None:
    async with cluster_served(1) as (node,):
        assert await consensual('call', 'x/y', '--node', node.url) == 1
        assert "'x/y' is no action" in capsys.readouterr().err


async def test_bench_measures_and_leaves_nothing_behind(capsys: Output) -> None:
    async with cluster_served(3) as nodes:
        flags = '--callers', 4, '--seconds', 0.2, '--size', 10
        assert await consensual('bench', *flags, '--node', nodes[1].url) == 0
        first, head, *rows = capsys.readouterr().out.splitlines()
        assert first == '4 callers, values of 10 bytes'
        assert head.split()[:2] == ['per', 'second']
        for row, what in zip(rows, ('writes', 'reads'), strict=True):
            name, rate, *times, failed = row.split()
            assert (name, failed) == (what, '0')
            assert float(rate.replace(',', '')) > 0
            assert len(times) == 3
        assert (await nodes[0].query('range', {'prefix': ''}))['items'] == []


async def test_bench_of_nobody_and_of_another_machine_says_why(capsys: Output) -> None:
    assert await consensual('bench', '--node', unused_url()) == 3
    assert 'cannot be reached' in capsys.readouterr().err
    assert await consensual('bench', '--callers', '0', '--node', unused_url()) == 2
    async with nodes_served(1) as (node,):
        flags = '--seconds', 0.1, '--timeout', 0.2, '--callers', 1
        assert await consensual('bench', *flags, '--node', node.url) == 1
        said = capsys.readouterr()
        assert 'NotMember' in said.err
        assert 'NotMember' in said.out
        assert 'could not be deleted' not in said.err


async def test_bench_needs_the_token_that_others_need(capsys: Output) -> None:
    async with cluster_served(1, access=Guarded()) as (node,):
        assert await consensual('bench', '--node', node.url) == 5
    assert capsys.readouterr().out == ''
