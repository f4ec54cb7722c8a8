"""A network of namespaces, made by the test and for it alone: hosts whose packets can be dropped.

Needs root, and Debian's iproute2 and iptables.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self

from yarl import URL

PORT = 8000


def missing() -> str:
    """Return why there can be no such network here, '' where there can."""
    if os.geteuid() != 0:
        return 'network namespaces are made by root'
    tools = [tool for tool in ('ip', 'iptables') if shutil.which(tool) is None]
    return f'not installed: {", ".join(tools)}' if tools else ''


def run(*command: object) -> None:
    """Run a command. Raises `RuntimeError` with what it says."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f'{" ".join(map(str, command))}: {done.stderr.strip()}')


class Host:
    """A namespace with an address, and what it drops of what comes in."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    def __repr__(self) -> str:
        return f'Host({self.name}, {self.address})'

    @property
    def url(self) -> URL:
        """Where a node of this host is."""
        return URL.build(scheme='http', host=self.address, port=PORT)

    @property
    def within(self) -> Sequence[str]:
        """The command that runs another one there."""
        return 'ip', 'netns', 'exec', self.name

    def drop(self, *match: object) -> None:
        """Drop the packets that come in and match."""
        run(*self.within, 'iptables', '-A', 'INPUT', *match, '-j', 'DROP')

    def drop_from(self, others: 'Sequence[Host]') -> None:
        """Drop all that comes from these: one way, the other one stays open."""
        for other in others:
            self.drop('-s', other.address)

    def lose(self, share: float) -> None:
        """Drop that share of all packets, at random."""
        self.drop('-m', 'statistic', '--mode', 'random', '--probability', share)

    def delay(self, seconds: float, jitter: float) -> None:
        """Hold back what goes out. Raises `RuntimeError` where the kernel has no netem."""
        times = f'{1e3 * seconds}ms', f'{1e3 * jitter}ms'
        run(*self.within, 'tc', 'qdisc', 'add', 'dev', 'eth0', 'root', 'netem', 'delay', *times)

    def heal(self) -> None:
        """Drop nothing any more."""
        run(*self.within, 'iptables', '-F', 'INPUT')


class Network:
    """Hosts at one bridge, at which the tests are, too, with an address of their own."""

    def __init__(self, size: int) -> None:
        self.prefix = f'cx{os.getpid()}'
        self.net = f'10.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}'
        self.hosts = [
            Host(f'{self.prefix}n{number}', f'{self.net}.{number}') for number in range(1, size + 1)
        ]

    def __repr__(self) -> str:
        return f'Network({self.net}.0/24, {len(self.hosts)} hosts)'

    def cable(self, number: int) -> str:
        """Return the name of the end of a host's cable that is at the bridge."""
        return f'{self.prefix}v{number}'

    def make(self) -> Self:
        """Make the bridge, the hosts and their cables."""
        bridge = self.prefix
        run('ip', 'link', 'add', bridge, 'type', 'bridge')
        run('ip', 'address', 'add', f'{self.net}.254/24', 'dev', bridge)
        run('ip', 'link', 'set', bridge, 'up')
        for number, host in enumerate(self.hosts):
            cable = self.cable(number)
            run('ip', 'netns', 'add', host.name)
            run('ip', 'link', 'add', cable, 'type', 'veth', 'peer', 'eth0', 'netns', host.name)
            run('ip', 'link', 'set', cable, 'master', bridge, 'up')
            inside = *host.within, 'ip'
            run(*inside, 'address', 'add', f'{host.address}/24', 'dev', 'eth0')
            run(*inside, 'link', 'set', 'eth0', 'up')
            run(*inside, 'link', 'set', 'lo', 'up')
        return self

    def remove(self) -> None:
        """Remove what was made, as far as it was."""
        links = [self.cable(number) for number in range(len(self.hosts))]
        for link in (*links, self.prefix):
            with suppress(RuntimeError):
                run('ip', 'link', 'delete', link)
        for host in self.hosts:
            with suppress(RuntimeError):
                run('ip', 'netns', 'delete', host.name)


@contextmanager
def network_of(size: int) -> Iterator[Network]:
    """Have a network, and remove it however the block ends."""
    network = Network(size)
    try:
        yield network.make()
    finally:
        network.remove()
