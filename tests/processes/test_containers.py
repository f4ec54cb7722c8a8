"""The containers of docker-compose.yml, where a Docker engine is at hand.

They have a network of their own, and no port outside of it.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

ROOT = Path(__file__).parents[2]
NODES = 'a', 'b', 'c'
LIMIT = 900
"""Seconds that one command may take: images are built, and their base may have to be fetched."""


ENDED = '{{.State.Status}} {{.State.ExitCode}}'


def answers(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    done = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)
    return done.returncode == 0


COMPOSE = next(
    (words for words in (('docker', 'compose'), ('docker-compose',)) if answers(*words, 'version')),
    None,
)

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        COMPOSE is None or not answers('docker', 'info'), reason='no Docker engine, or no compose'
    ),
]


class Containers:
    """The project of the file, under a name that nobody else has."""

    def __init__(self) -> None:
        self.name = f'consensual-{uuid4().hex[:8]}'

    def compose(self, *words: str) -> str:
        done = subprocess.run(
            [*(COMPOSE or ()), '--project-name', self.name, *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, f'{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}'
        return done.stdout.strip()

    def consensual(self, node: str, *words: str) -> str:
        """Run a command of ours in the container of a node."""
        return self.compose('exec', '-T', node, 'consensual', *words)

    def drop_volume(self, node: str) -> None:
        command = ['docker', 'volume', 'rm', f'{self.name}_{node}']
        subprocess.run(command, capture_output=True, check=True)

    def eventually(self, node: str, what: str, wanted: str) -> None:
        """Wait until the engine says that of the container of a node."""
        container = self.compose('ps', '--quiet', '--all', node)
        command = ['docker', 'inspect', '--format', what, container]
        end = time.monotonic() + 60
        while (found := subprocess.check_output(command, text=True).strip()) != wanted:
            assert time.monotonic() < end, f'{what} of {node} is {found!r}, not {wanted!r}'
            time.sleep(0.5)


@pytest.fixture(scope='module')
def containers() -> Iterator[Containers]:
    three = Containers()
    try:
        three.compose('up', '--detach', '--build', *NODES)
        three.consensual('a', 'status', '--wait', '3')
        yield three
    finally:
        three.compose('down', '--volumes', '--rmi', 'local')


def test_three_containers_are_a_cluster(containers: Containers) -> None:
    """As docs/operations.md has it: healthy, and without rights."""
    containers.consensual('a', 'kv', 'put', 'key', '"one"')
    assert containers.consensual('c', 'kv', 'get', 'key') == '"one"'
    for node in NODES:
        assert containers.compose('exec', '-T', node, 'id', '-u') == '1000'
        containers.eventually(node, '{{.State.Health.Status}}', 'healthy')


def test_leader_that_is_stopped_hands_over(containers: Containers) -> None:
    """`docker stop`: in order, within the time that it is given; it is back with its data."""
    containers.compose('stop', 'a')
    containers.eventually('a', ENDED, 'exited 0')
    containers.consensual('b', 'kv', 'put', 'key', '"two"')
    containers.compose('start', 'a')
    containers.consensual('a', 'status', '--wait', '3')
    assert containers.consensual('a', 'kv', 'get', 'key') == '"two"'


def test_all_that_are_killed_come_back_with_their_data(containers: Containers) -> None:
    """What was acknowledged is in the volumes."""
    containers.consensual('a', 'kv', 'put', 'key', '"three"')
    containers.compose('kill', '-s', 'SIGKILL', *NODES)
    for node in NODES:
        containers.eventually(node, ENDED, 'exited 137')
    containers.compose('start', *NODES)
    containers.consensual('b', 'status', '--wait', '3')
    assert containers.consensual('b', 'kv', 'get', 'key') == '"three"'


def test_founder_that_lost_its_volume_joins_the_others(containers: Containers) -> None:
    """It does not found a second cluster beside theirs, though its command says `--solo`."""
    containers.consensual('b', 'kv', 'put', 'key', '"four"')
    containers.compose('rm', '--stop', '--force', 'a')
    containers.drop_volume('a')
    containers.compose('up', '--detach', 'a')
    containers.consensual('b', 'status', '--wait', '3')
    assert containers.consensual('a', 'kv', 'get', 'key') == '"four"'
