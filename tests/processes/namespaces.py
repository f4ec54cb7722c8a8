"""A network of namespaces, made by the test and for it alone: hosts whose packets can be dropped.

Needs root's rights, and Debian's iproute2. With iptables, packets vanish on the way; without, they
are refused where they come from.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self

from yarl import URL

from tests.processes import rights

PORT = 8000


def missing() -> str:
    """Return why there can be no such network here, '' where there can."""
    if reason := rights.missing(rights.NET_ADMIN, rights.SYS_ADMIN):
        return reason
    if shutil.which('ip') is None:
        return 'not installed: ip, of iproute2'
    if has_filters() and '-P FORWARD DROP' in run('iptables', '-S', 'FORWARD'):
        return 'this machine forwards nothing, over bridges neither'
    return ''


def has_filters() -> bool:
    """Tell whether packets can be dropped on the way."""
    return shutil.which('iptables') is not None


def run(*command: object) -> str:
    """Run a command; return what it says. Raises `RuntimeError` with its complaint."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f'{" ".join(map(str, command))}: {done.stderr.strip()}')
    return done.stdout


class Host:
    """A namespace with an address, and what it drops of what comes in.

    by_routes: who sends is given no route to it, in place of a filter here: it notices at once.
    """

    def __init__(self, name: str, address: str, *, by_routes: bool) -> None:
        self.name = name
        self.address = address
        self.by_routes = by_routes

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
            if self.by_routes:
                run(*other.within, 'ip', 'route', 'add', 'blackhole', self.address)
            else:
                self.drop('-s', other.address)

    def lose(self, share: float) -> None:
        """Drop that share of all packets, at random."""
        self.drop('-m', 'statistic', '--mode', 'random', '--probability', share)

    def disturb(self, seconds: float, jitter: float, loss: float) -> None:
        """Hold back what goes out, and drop a share of it.

        Raises `RuntimeError` where the kernel has no netem.
        """
        noise = 'delay', f'{1e3 * seconds}ms', f'{1e3 * jitter}ms', 'loss', f'{100 * loss}%'
        run(*self.within, 'tc', 'qdisc', 'add', 'dev', 'eth0', 'root', 'netem', *noise)

    def heal(self) -> None:
        """Drop nothing any more."""
        run(*self.within, 'ip', 'route', 'flush', 'type', 'blackhole')
        if has_filters():
            run(*self.within, 'iptables', '-F', 'INPUT')


class Network:
    """Hosts at one bridge, at which the tests are, too, with an address of their own.

    by_routes: how they drop what is not to arrive, see `Host`.
    """

    def __init__(self, size: int, *, by_routes: bool) -> None:
        self.prefix = f'cx{os.getpid()}'
        self.net = f'10.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}'
        self.hosts = [
            Host(f'{self.prefix}n{number}', f'{self.net}.{number}', by_routes=by_routes)
            for number in range(1, size + 1)
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
def network_of(size: int, *, by_routes: bool) -> Iterator[Network]:
    """Have a network, and remove it however the block ends."""
    network = Network(size, by_routes=by_routes)
    try:
        yield network.make()
    finally:
        network.remove()
