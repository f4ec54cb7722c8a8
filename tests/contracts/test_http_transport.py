"""The HTTP transport keeps the contract of a transport, plain and with mutual TLS (design §2)."""

import ssl
from functools import cached_property

import pytest
import trustme
from yarl import URL

from consensual.http import Receiver, Sender
from consensual.raft.driver.ports import Endpoint
from consensual.testing.conformance import TransportConformance

TOKEN = 'of the peers'  # noqa: S105 - of nobody else's


class TestHTTPTransport(TransportConformance):
    """WebSockets on loopback."""

    def make_sender(self, url: URL) -> Sender:
        return Sender(url, token=TOKEN)

    def make_receiver(self, endpoint: Endpoint) -> Receiver:
        return Receiver(endpoint, peer_token=TOKEN)

    async def release(self, sender: Sender) -> None:
        await sender.close()


class TestHTTPTransportWithMutualTLS(TransportConformance):
    """Each end shows a certificate of the same authority."""

    pytestmark = pytest.mark.asyncio

    @cached_property
    def authority(self) -> trustme.CA:
        return trustme.CA()

    def context(self, purpose: ssl.Purpose) -> ssl.SSLContext:
        context = ssl.create_default_context(purpose)
        self.authority.configure_trust(context)
        self.authority.issue_cert('127.0.0.1').configure_cert(context)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def url(self, name: str) -> URL:
        return super().url(name).with_scheme('https')

    def make_sender(self, url: URL) -> Sender:
        return Sender(url, ssl=self.context(ssl.Purpose.SERVER_AUTH))

    def make_receiver(self, endpoint: Endpoint) -> Receiver:
        return Receiver(endpoint, ssl=self.context(ssl.Purpose.CLIENT_AUTH))

    async def release(self, sender: Sender) -> None:
        await sender.close()
