"""The in-memory transport keeps the contract of a transport (design §2, Sender / Receiver)."""

from functools import cached_property

import pytest
from yarl import URL

from consensual.raft import Node, communication
from consensual.raft.driver.ports import Endpoint
from consensual.testing.conformance import TransportConformance


class TestInMemoryTransport(TransportConformance):
    """The dict that all share is the network."""

    pytestmark = pytest.mark.looptime(idle_timeout=2)

    @cached_property
    def nodes(self) -> dict[str, Node]:
        return {}

    def url(self, name: str) -> URL:
        return URL(f'memory://{name}')

    def make_sender(self, url: URL) -> communication.Sender:
        return communication.Sender([url], self.nodes)

    def make_receiver(self, endpoint: Endpoint) -> communication.Receiver:
        return communication.Receiver(endpoint, self.nodes)
