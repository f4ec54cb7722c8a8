"""The soak as somebody who types the command sees it."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consensual.testing import Simulation, __main__, soak
from consensual.testing.__main__ import main
from consensual.testing.soak import Plan, Report, Store

ROOT = Path(__file__).parents[2]
Output = pytest.CaptureFixture[str]


def run(*arguments: str, cwd: Path = ROOT) -> 'subprocess.CompletedProcess[str]':
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def figures(output: str) -> dict[str, int]:
    """Return the figures of the report that are counted, not measured, by what they count."""
    found = re.findall(r'(\d+) ([a-z -]+)', output.splitlines()[0])
    measured = 's of clusters', 'node-seconds'
    return {what: int(number) for number, what in found if what not in measured}


@pytest.fixture(name='broken_store')
def break_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the soak's own state machine be different on every node."""
    numbers = itertools.count()

    def put(store: Store, what: list[Any]) -> None:
        key, value = what
        store.values[key] = f'{value} {next(numbers)}'

    monkeypatch.setattr(Store, '_put', put)


def test_soak_of_ci_finds_nothing(capsys: Output, tmp_path: Path) -> None:
    """60 lives of 20 seconds each, all invariants, every history linearizable."""
    status = main(['soak', '--seeds', '60', '--seconds', '20', '--traces', str(tmp_path)])
    output = capsys.readouterr().out
    assert status == 0, output
    assert output.startswith('60 seeds, ')
    assert output.endswith('\nviolations: 0\n')
    assert list(tmp_path.iterdir()) == []


def test_command_reports_and_exits_with_0() -> None:
    done = run('-m', 'consensual.testing', 'soak', '--seeds', '2', '--seconds', '3')
    assert (done.returncode, done.stderr) == (0, '')
    report, speed, end = done.stdout.splitlines()
    assert report.startswith('2 seeds, ')
    assert re.fullmatch(r'\d+ node-seconds a second of real time', speed)
    assert end == 'violations: 0'


def test_soak_does_something(capsys: Output) -> None:
    """A cluster that does nothing breaks nothing."""
    assert main(['soak', '--seeds', '5', '--seconds', '10']) == 0
    done = figures(capsys.readouterr().out)
    counted = 'steps', 'messages', 'faults', 'membership changes', 'commands acknowledged', 'reads'
    assert {what for what in counted if done[what] < 10} == set()


def test_lives_from_a_seed_on_are_those_of_the_longer_run(capsys: Output) -> None:
    """A seed is one life, whichever lives come before it."""
    parts = []
    for seeds in (['--seeds', '4'], ['--seeds', '1'], ['--from-seed', '1', '--seeds', '3']):
        assert main(['soak', '--seconds', '4', *seeds]) == 0
        parts.append(figures(capsys.readouterr().out))
    whole, first, others = parts
    assert whole == {what: first[what] + others[what] for what in whole}


@pytest.mark.usefixtures('broken_store')
def test_violation_is_shown_with_the_commands_that_replay_it(
    capsys: Output, tmp_path: Path
) -> None:
    assert main(['soak', '--seconds', '5', '--traces', str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert re.search(
        r'^\[\d+\.\d+\] applied_is_the_same_everywhere: n\d is not', output, re.MULTILINE
    )
    *_, violations, trace, again = output.splitlines()
    assert re.fullmatch(r'violations: [1-9]\d*', violations)
    path = tmp_path / 'soak-0.trace'
    assert trace == f'its trace: python -m consensual replay {path}'
    assert again == 'replay: python -m consensual.testing soak --from-seed 0 --seeds 1 --seconds 5'
    replayed = run(*trace.partition('python ')[2].split())
    assert replayed.returncode == 0, replayed.stderr
    assert replayed.stdout.endswith('every output was the same\n')


@pytest.mark.usefixtures('broken_store')
def test_printed_command_lives_the_same_life_again(capsys: Output, tmp_path: Path) -> None:
    main(['soak', '--from-seed', '3', '--seconds', '5', '--traces', str(tmp_path)])
    output = capsys.readouterr().out
    arguments = output.splitlines()[-1].partition('consensual.testing ')[2].split()
    assert main([*arguments, '--traces', str(tmp_path)]) == 1
    assert figures(capsys.readouterr().out) == figures(output)


def test_history_that_is_not_linearizable_is_a_violation(
    capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is wrong everywhere is found by its clients, not by its replicas."""

    def get(_store: Store, _key: str) -> int:
        return -1

    monkeypatch.setattr(Store, '_get', get)
    assert main(['soak', '--seconds', '5', '--traces', str(tmp_path)]) == 1
    assert '] linearizable: ' in capsys.readouterr().out


def test_life_that_falls_over_tells_its_seed(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def live(plan: Plan, *, simulation: Simulation | None = None) -> Report:
        raise RuntimeError(f'{plan.seed}, {simulation}: on purpose')

    monkeypatch.setattr(__main__, 'live', live)
    with pytest.raises(RuntimeError, match='on purpose'):
        main(['soak', '--from-seed', '7', '--seeds', '2'])
    told = 'seed 7 fell over; replay: python -m consensual.testing soak --from-seed 7 --seeds 1'
    assert told in capsys.readouterr().out


def test_interrupted_soak_says_how_to_go_on(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def live(plan: Plan, *, simulation: Simulation | None = None) -> Report:
        if plan.seed == 12:
            raise KeyboardInterrupt
        return soak.live(plan, simulation=simulation)

    monkeypatch.setattr(__main__, 'live', live)
    assert main(['soak', '--from-seed', '10', '--seeds', '5', '--seconds', '1']) == 130
    output = capsys.readouterr().out
    assert output.startswith('2 seeds, ')
    assert 'go on: python -m consensual.testing soak --from-seed 12 --seeds 3' in output


def test_long_soak_shows_that_it_goes_on(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(__main__, 'PROGRESS', -1.0)
    assert main(['soak', '--from-seed', '4', '--seeds', '2', '--seconds', '1']) == 0
    progress = capsys.readouterr().err.splitlines()
    assert [line.partition(':')[0] for line in progress] == ['… 1 of 2', '… 2 of 2']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], 'the following arguments are required: COMMAND'),
        (['sok'], "invalid choice: 'sok'"),
        (['soak', '--seeds', '0'], 'argument --seeds: 0 is no positive number'),
        (['soak', '--seeds', 'many'], "argument --seeds: invalid positive int value: 'many'"),
        (['soak', '--seconds', '-1'], 'argument --seconds: -1 is no positive number'),
        (['soak', '--seconds', 'inf'], 'argument --seconds: inf is no positive number'),
        (['soak', '--seconds', 'nan'], 'argument --seconds: nan is no positive number'),
        (['soak', '--from-seed', 'x'], "argument --from-seed: invalid int value: 'x'"),
        (['soak', '--traces', 'no/such/folder'], '--traces: no/such/folder is no folder'),
        (['soak', '--minutes', '1'], 'unrecognized arguments: --minutes 1'),
    ],
)
def test_bad_flags_exit_with_2_and_say_why(
    arguments: list[str], message: str, capsys: Output
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
