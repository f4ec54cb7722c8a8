"""Who may ask what: tokens, and which addresses may be served without any.

Secrets are compared in constant time, and shown nowhere.
"""

import hmac
import ssl
from ipaddress import ip_address
from typing import Optional

from aiohttp import web

from consensual.http.answers import refuse
from consensual.raft.errors import InvalidParameters


class InsecureAddress(InvalidParameters):
    """Others on the network could reach a node that asks nobody who they are."""


class Access:
    """The tokens that are asked for, as `Authorization: Bearer …`; None asks for none.

    peer_token: of the other nodes.
    client_token: of clients and operators.

    Raises `InvalidParameters` for a token that no header can carry.
    """

    __slots__ = '_client_token', '_peer_token'

    def __init__(
        self, *, peer_token: Optional[str] = None, client_token: Optional[str] = None
    ) -> None:
        self._peer_token = _checked(peer_token, 'peer')
        self._client_token = _checked(client_token, 'client')

    def __repr__(self) -> str:
        return (
            f'Access(asks_peers={self._peer_token is not None}, '
            f'asks_clients={self._client_token is not None})'
        )

    @property
    def asks_everybody(self) -> bool:
        """Nobody is let in without a token."""
        return self._peer_token is not None and self._client_token is not None

    def check_peer(self, request: web.Request) -> None:
        """Raise `HTTPUnauthorized` or `HTTPForbidden` for whoever is no node of the cluster."""
        _check(request, self._peer_token, "the peers'")

    def check_client(self, request: web.Request) -> None:
        """Raise `HTTPUnauthorized` or `HTTPForbidden` for whoever is no client."""
        _check(request, self._client_token, "the clients'")


def _checked(token: Optional[str], whose: str) -> Optional[bytes]:
    if token is None:
        return None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise InvalidParameters(f'the {whose} token must be printable ASCII text, and not empty')
    if token != token.strip():
        raise InvalidParameters(f'the {whose} token begins or ends with a blank')
    return token.encode()


def _check(request: web.Request, token: Optional[bytes], whose: str) -> None:
    if token is None:
        return
    scheme, _, given = request.headers.get('Authorization', '').partition(' ')
    if scheme.lower() != 'bearer':
        answer = refuse(401, f'say who you are: Authorization: Bearer, and {whose} token')
        raise web.HTTPUnauthorized(
            text=answer.text,
            content_type='application/json',
            headers={'WWW-Authenticate': 'Bearer'},
        )
    if not hmac.compare_digest(given.strip().encode('utf-8', 'replace'), token):
        answer = refuse(403, f'this is not {whose} token')
        raise web.HTTPForbidden(text=answer.text, content_type='application/json')


def check_address(
    host: str, access: Access, context: Optional[ssl.SSLContext], *, insecure: bool
) -> None:
    """Raise `InsecureAddress` unless the host is a loopback one, or everybody is asked.

    That is by tokens, or by certificates (mutual TLS).
    """
    asks_for_certificates = context is not None and context.verify_mode == ssl.CERT_REQUIRED
    if insecure or access.asks_everybody or asks_for_certificates or is_loopback(host):
        return
    raise InsecureAddress(
        f'whoever reaches {host} could command the node: give a token for peers and one for '
        'clients, or an SSLContext that asks for certificates; or mean it, by insecure=True'
    )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches the host; a name is taken to be of the network."""
    try:
        return ip_address(host.strip('[]')).is_loopback
    except ValueError:
        return host == 'localhost'
