"""The transport of the demo's page keeps the contract of a transport, too."""

from functools import cached_property
from random import Random

import pytest
from yarl import URL

from consensual.cli.demo.web.network import Network, WireReceiver, WireSender, name_of, url_of
from consensual.raft.driver.ports import Endpoint
from consensual.testing.conformance import TransportConformance


class TestDemoTransport(TransportConformance):
    """One network without latency."""

    pytestmark = pytest.mark.looptime(idle_timeout=2)

    @cached_property
    def network(self) -> Network:
        network = Network(Random(1))
        network.latency = 0.0
        return network

    def url(self, name: str) -> URL:
        return url_of(name)

    def make_sender(self, url: URL) -> WireSender:
        return WireSender(name_of(url), self.network)

    def make_receiver(self, endpoint: Endpoint) -> WireReceiver:
        return WireReceiver(name_of(endpoint.url), endpoint, self.network)
