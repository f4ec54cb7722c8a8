"""What a real process acknowledged is there after SIGKILL, at random moments under load."""

import asyncio
import sys
from pathlib import Path
from random import Random

import pytest

from tests.crashes.__main__ import main
from tests.crashes.killing import MOMENTS, Broken, Moment, draw_moments, kill_again_and_again

pytestmark = pytest.mark.skipif(sys.platform == 'win32', reason='there is no SIGKILL')


@pytest.mark.parametrize('kills', [20, pytest.param(200, marks=pytest.mark.long)])
def test_acknowledged_commands_survive_sigkill(tmp_path: Path, kills: int) -> None:
    """Design §4: applied on every node, exactly once; all kills on the same files."""
    moments = draw_moments(Random(1), kills)
    summary = asyncio.run(kill_again_and_again(tmp_path, moments))
    assert len(summary.kills) == kills
    assert {kill.moment.since for kill in summary.kills} == {*MOMENTS}
    assert len(summary.judge.acknowledged) > 10 * kills
    assert summary.judge.acknowledged <= summary.judge.seen
    assert summary.compacted


def test_cluster_that_is_killed_while_it_is_founded_can_be_founded(tmp_path: Path) -> None:
    """Whoever founds it looks how far it came, and goes on from there."""
    random = Random(2)
    moments = [Moment('begun', random.uniform(0.0, 0.1)) for _ in range(6)]
    summary = asyncio.run(kill_again_and_again(tmp_path, [*moments, Moment('ready', 0.2)]))
    assert summary.judge.acknowledged


def test_storage_that_says_durable_before_it_is_is_caught(tmp_path: Path) -> None:
    """The harness can fail; or a node stops by itself, for others know more than it has."""
    moments = [Moment('ready', 0.5)] * 3
    with pytest.raises(Broken, match='were acknowledged and are not applied|ended by itself'):
        asyncio.run(kill_again_and_again(tmp_path, moments, storage='hasty'))


def test_each_kill_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--kills', '2', '--seed', '3']) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith('kill   1 ')
    assert second.startswith('kill   2 ')
    assert last.startswith('2 kills (')
