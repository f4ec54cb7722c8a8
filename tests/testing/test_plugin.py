"""The pytest plugin as its users meet it: a file of tests, run by a pytest of its own."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from consensual.testing.trace import load, replay

ROOT = Path(__file__).parents[2]

TESTS = """
import itertools
import pytest


class Tally:
    def __init__(self):
        self.processors = {'add': self.add}
        self.queries = {'total': lambda _: self.total}
        self.reset()

    def reset(self):
        self.total = 0

    def snapshot(self):
        return self.total

    def add(self, amount):
        self.total += amount
        return self.total


class Careless(Tally):
    numbers = itertools.count()

    def add(self, amount):
        self.total += amount
        return next(self.numbers)


def test_plain(cluster):
    simulation = cluster(Tally, nodes=5, seed=3)
    assert simulation.names == ['n1', 'n2', 'n3', 'n4', 'n5']
    assert simulation['n4'].execute('add', 2).result() == 2


def test_without():
    assert True


@pytest.mark.asyncio
async def test_awaiting(cluster):
    simulation = cluster(Tally)
    assert await simulation['n1'].execute('add', 2) == 2
    assert await simulation['n2'].query('total') == 2


def break_it(simulation):
    simulation['n1'].execute('add', 1).result()
    simulation.run(1)


def test_broken(cluster):
    break_it(cluster(Careless, seed=11))


@pytest.mark.asyncio
async def test_broken_awaiting(cluster):
    simulation = cluster(Careless, seed=12)
    await simulation['n1'].execute('add', 1)
    await simulation['n2'].query('total')


def test_wrong(cluster):
    simulation = cluster(Tally, seed=13)
    assert simulation['n1'].execute('add', 1).result() == 2


def test_failed(cluster):
    cluster(Tally, seed=14)
    pytest.fail('on purpose')


def test_wrong_and_broken(cluster):
    simulation = cluster(Careless, seed=15)
    break_it(simulation)
    assert simulation['n1'].machine.total == 2


def test_skipped(cluster):
    cluster(Tally, seed=16)
    pytest.skip('on purpose')


def test_two(cluster):
    one, other = cluster(Tally, seed=1), cluster(Tally, seed=2)
    one['n1'].execute('add', 1).result()
    assert [node.machine.total for node in other] == [0, 0, 0]


def test_two_of_which_the_second_is_broken(cluster):
    cluster(Tally, seed=17)
    break_it(cluster(Careless, seed=18))


@pytest.mark.parametrize('size', [1, 3])
def test_two_and_wrong(cluster, size):
    cluster(Tally, seed=19), cluster(Tally, nodes=size, seed=20)
    assert not 'equal'


def test_untraced(cluster):
    cluster(Tally, seed=21, is_traced=False)
    assert not 'traced'
"""


class Ran:
    """What one run of pytest came to: the texts of failures by test, '' for none."""

    def __init__(self, folder: Path) -> None:
        self.traces = folder / 'some' / 'traces'
        (folder / 'test_it.py').write_text(TESTS, encoding='utf-8')
        options = ['-p', 'pytest_asyncio.plugin', '-p', 'consensual.testing.plugin']
        options += ['-p', 'no:cacheprovider', '-W', 'error', '--junitxml=report.xml']
        options += ['-o', 'asyncio_default_fixture_loop_scope=function']
        self.output = subprocess.run(
            [sys.executable, '-m', 'pytest', *options],
            cwd=folder,
            env=os.environ
            | {
                'PYTHONPATH': str(ROOT),
                'PYTEST_ADDOPTS': '',
                'PYTEST_DISABLE_PLUGIN_AUTOLOAD': '1',
                'CONSENSUAL_TRACES': str(self.traces),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout
        cases = ET.parse(folder / 'report.xml').iter('testcase')  # noqa: S314 - made just now
        self.failures = {
            case.attrib['name']: ''.join(found.text or '' for found in case.iter('failure'))
            for case in cases
        }

    def trace(self, name: str) -> Path:
        return self.traces / f'test_it.py-{name}.trace'

    def tells_of_trace(self, name: str, *, seed: int, file: str = '') -> bool:
        path = self.trace(file or name)
        told = f'seed {seed}; replay it: python -m consensual replay {path}'
        return told in self.failures[name] and path.exists()


@pytest.fixture(scope='module', name='ran')
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(tmp_path_factory.mktemp('plugin'))


def test_clusters_are_founded_for_plain_and_awaiting_tests(ran: Ran) -> None:
    for name in 'test_plain', 'test_without', 'test_awaiting', 'test_two':
        assert ran.failures[name] == ''
        assert not ran.trace(name).exists()


def test_nothing_warns(ran: Ran) -> None:
    """All warnings are errors there, those of coroutines that nobody awaited included."""
    assert 'warning' not in ran.output.lower()
    assert ' 9 failed, 4 passed, 1 skipped in ' in ran.output


def test_test_that_ends_well_fails_when_an_invariant_was_broken(ran: Ran) -> None:
    for name, seed in ('test_broken', 11), ('test_broken_awaiting', 12):
        assert 'applied_is_the_same_everywhere: n' in ran.failures[name]
        assert 'is not deterministic' in ran.failures[name]
        assert ran.tells_of_trace(name, seed=seed)


def test_trace_of_a_test_is_replayed_as_it_was(ran: Ran) -> None:
    replayed = replay(load(ran.trace('test_broken')))
    assert sum(moment.effects is not None for moment in replayed) > 50
    assert set(replayed.cores) == {('n1', 1), ('n2', 1), ('n3', 1)}


def test_failing_assertion_leaves_a_trace(ran: Ran) -> None:
    assert 'assert 1 == 2' in ran.failures['test_wrong']
    assert ran.tells_of_trace('test_wrong', seed=13)
    assert 'invariants broken' not in ran.failures['test_wrong']


def test_explicit_failure_leaves_a_trace(ran: Ran) -> None:
    assert 'on purpose' in ran.failures['test_failed']
    assert ran.tells_of_trace('test_failed', seed=14)


def test_skipped_test_leaves_none(ran: Ran) -> None:
    assert not ran.trace('test_skipped').exists()


def test_failing_assertion_tells_of_invariants_broken_before_it(ran: Ran) -> None:
    """What broke first is rarely what the assertion is about, and often its cause."""
    failure = ran.failures['test_wrong_and_broken']
    assert 'assert 1 == 2' in failure
    assert 'invariants broken:' in failure
    assert ran.tells_of_trace('test_wrong_and_broken', seed=15)


def test_second_cluster_of_a_test_is_watched_as_the_first(ran: Ran) -> None:
    name = 'test_two_of_which_the_second_is_broken'
    assert ran.tells_of_trace(name, seed=18, file=f'{name}-2')


def test_each_cluster_of_a_test_has_a_trace_of_its_own(ran: Ran) -> None:
    for size in 1, 3:
        name, file = f'test_two_and_wrong[{size}]', f'test_two_and_wrong-{size}'
        assert ran.tells_of_trace(name, seed=19, file=file)
        assert ran.tells_of_trace(name, seed=20, file=f'{file}-2')


def test_untraced_cluster_tells_its_seed(ran: Ran) -> None:
    assert 'seed 21; nothing was recorded (is_traced=False)' in ran.failures['test_untraced']


def test_installed_package_brings_the_plugin(tmp_path: Path) -> None:
    """The package's metadata name it, so that pytest finds the fixture by itself."""
    pytest.importorskip('setuptools')
    subprocess.run(
        [sys.executable, 'setup.py', '--quiet', 'egg_info', '--egg-base', str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=True,
    )
    told = next(tmp_path.glob('*.egg-info/entry_points.txt')).read_text(encoding='utf-8')
    assert 'consensual = consensual.testing.plugin' in told.partition('[pytest11]')[2]
