"""The HTTP transport keeps the contract of a transport, in the clear and with mutual TLS."""

import ssl
from functools import cache

import trustme
from yarl import URL

from consensual.http import Receiver, Sender
from consensual.raft.driver.ports import Endpoint
from consensual.testing.conformance import TransportConformance

TOKEN = 'swordfish'  # noqa: S105 - of the tests


class TestHTTPTransport(TransportConformance):
    """Nodes that know a token."""

    def make_sender(self, url: URL) -> Sender:
        return Sender(url, token=TOKEN)

    def make_receiver(self, endpoint: Endpoint) -> Receiver:
        return Receiver(endpoint, peer_token=TOKEN)

    async def release(self, sender: Sender) -> None:  # type: ignore[override]
        await sender.close()


class TestHTTPWithMutualTLS(TransportConformance):
    """Nodes that know each other's certificates."""

    def url(self, name: str) -> URL:
        return super().url(name).with_scheme('https')

    def make_sender(self, url: URL) -> Sender:
        return Sender(url, ssl=contexts()[1])

    def make_receiver(self, endpoint: Endpoint) -> Receiver:
        return Receiver(endpoint, ssl=contexts()[0])

    async def release(self, sender: Sender) -> None:  # type: ignore[override]
        await sender.close()


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return those of a server and a client of one authority."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context()
    for context in (server, client):
        authority.configure_trust(context)
        authority.issue_cert('127.0.0.1').configure_cert(context)
    return server, client
