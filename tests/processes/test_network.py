"""Hosts that do not hear one another, or late: real packets, on real interfaces."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from tests.processes import namespaces
from tests.processes.cluster import Cluster, Process, eventually, founded, urls
from tests.processes.load import load_on
from tests.processes.relay import Relay, relayed

pytestmark = pytest.mark.asyncio
on_hosts = pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing())

LIMIT = 60
SOME = 40
SIZES = [3, pytest.param(5, marks=pytest.mark.long)]
NOISE = 0.02, 0.01, 0.02
"""Seconds of delay, seconds of jitter, and the share that is lost."""


class Hosts:
    """A cluster, each node on a host of its own; the clients hear them all."""

    def __init__(self, cluster: Cluster, network: namespaces.Network) -> None:
        self.cluster = cluster
        self.network = network

    def __repr__(self) -> str:
        return f'Hosts({self.cluster}, {self.network})'

    def host_of(self, process: Process) -> namespaces.Host:
        return next(host for host in self.network.hosts if host.url == process.url)

    def others(self, process: Process) -> list[Process]:
        return [other for other in self.cluster.processes if other is not process]

    def heal(self) -> None:
        for host in self.network.hosts:
            host.heal()


@pytest.fixture
def netem() -> None:
    """Skip the test where the kernel cannot disturb packets, before any node is started."""
    with namespaces.network_of(1, by_routes=True) as network:
        try:
            network.hosts[0].disturb(*NOISE)
        except RuntimeError as error:
            pytest.skip(f'this kernel disturbs no packets: {error}')


@pytest_asyncio.fixture(
    params=[
        pytest.param((3, not namespaces.has_filters()), id='3'),
        pytest.param((3, True), id='3-by-routes', marks=pytest.mark.long),
        pytest.param((5, not namespaces.has_filters()), id='5', marks=pytest.mark.long),
    ]
)
async def hosts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Hosts]:
    size, by_routes = request.param
    with namespaces.network_of(size, by_routes=by_routes) as network:
        processes = [
            Process(host.url, tmp_path / host.name, within=host.within, flags=['--insecure'])
            for host in network.hosts
        ]
        async with asyncio.timeout(LIMIT * size), founded(processes) as cluster:
            yield Hosts(cluster, network)


@on_hosts
async def test_leader_that_is_cut_off_from_its_peers_acknowledges_nothing(hosts: Hosts) -> None:
    """Clients reach it still: what they ask of it is done by nobody, or by its successor."""
    cluster = hosts.cluster
    async with load_on(cluster.members) as load:
        await load.more(SOME)
        leader = await cluster.leader()
        followers = hosts.others(leader)
        lonely = hosts.host_of(leader)
        lonely.drop_from([hosts.host_of(follower) for follower in followers])
        for follower in followers:
            hosts.host_of(follower).drop_from([lonely])
        assert await cluster.leader(followers) is not leader
        await load.more(SOME)

        async def has_stepped_down() -> bool:
            return bool((await cluster.status(leader))['role'] != 'leader')

        await eventually(has_stepped_down)
        hosts.heal()
        await load.more(SOME)
    await eventually(cluster.is_whole)


@on_hosts
async def test_leader_that_is_heard_and_hears_nobody_is_replaced(hosts: Hosts) -> None:
    """One way only: its heartbeats arrive, so it must notice by itself (check quorum)."""
    cluster = hosts.cluster
    async with load_on(cluster.members) as load:
        await load.more(SOME)
        leader = await cluster.leader()
        followers = hosts.others(leader)
        hosts.host_of(leader).drop_from([hosts.host_of(follower) for follower in followers])
        assert await cluster.leader(followers) is not leader
        await load.more(SOME)
        hosts.heal()
        await load.more(SOME)
    await eventually(cluster.is_whole)


@on_hosts
@pytest.mark.skipif(not namespaces.has_filters(), reason='not installed: iptables')
async def test_cluster_works_on_a_network_that_loses_packets(hosts: Hosts) -> None:
    """Nothing is lost but time: TCP sends again, and nodes ask again."""
    cluster = hosts.cluster
    async with load_on(cluster.members) as load:
        await load.more(SOME)
        for host in hosts.network.hosts:
            host.lose(0.05)
        await load.more(SOME)
        hosts.heal()
        await load.more(SOME)
    await eventually(cluster.is_whole)


@on_hosts
@pytest.mark.usefixtures('netem')
async def test_cluster_works_on_a_network_that_delays_and_loses_packets(hosts: Hosts) -> None:
    """As the kernel does it, which not every kernel can."""
    cluster = hosts.cluster
    for host in hosts.network.hosts:
        host.disturb(*NOISE)
    async with load_on(cluster.members) as load:
        await load.more(SOME)
        leader = await cluster.leader()
        await leader.kill()
        await cluster.leader(hosts.others(leader))
        await load.more(SOME)
        await leader.start()
    await eventually(cluster.is_whole)


@pytest.mark.parametrize('size', SIZES)
async def test_cluster_works_over_slow_lines(size: int, tmp_path: Path) -> None:
    """Each node is reached through a relay that delays what it carries, by 10 to 40 ms each way."""
    random = Random(1)
    relays, processes = [], []
    for url, bound in zip(urls(size), urls(size), strict=True):
        assert bound.port is not None
        relays.append(Relay(url, bound.port, (0.01, 0.04), random))
        flags = ['--bind', f'127.0.0.1:{bound.port}']
        processes.append(Process(url, tmp_path / f'{url.port}', flags=flags))
    async with asyncio.timeout(LIMIT * size), relayed(relays), founded(processes) as cluster:
        async with load_on(cluster.members, timeout=5.0) as load:
            await load.more(SOME // 4)
            leader = await cluster.leader()
            await leader.kill()
            await cluster.leader([other for other in processes if other is not leader])
            await load.more(SOME // 4)
            await leader.start()
        await eventually(cluster.is_whole)
