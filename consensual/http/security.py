"""Who may talk to a node: shared secrets, certificates, and what may be served without them.

How the secrets come here, from a file or the environment, is not known here.
"""

import hmac
import json
import socket
from asyncio import get_running_loop
from ipaddress import ip_address
from ssl import CERT_REQUIRED, SSLContext
from typing import Optional

from aiohttp import web

from consensual.raft.errors import CallerError, InvalidParameters

SCHEME = 'Bearer '


class InsecureBind(CallerError):
    """A node would be open to other hosts, and let in everybody.

    Give tokens, or a TLS context that demands certificates, or say `insecure=True`.
    """


class Access:
    """Who may ask: whoever knows the token, and everybody where there is none.

    peer_token: of the other nodes.
    client_token: of clients and operators.

    Tokens are compared in constant time, and are in no text that this class makes.
    Raises `InvalidParameters` for a token that a header cannot carry.
    """

    __slots__ = '_client_token', '_peer_token'

    def __init__(
        self, *, peer_token: Optional[str] = None, client_token: Optional[str] = None
    ) -> None:
        self._peer_token = checked_token(peer_token)
        self._client_token = checked_token(client_token)

    def __repr__(self) -> str:
        return f'Access(peers={self.knows_peers}, clients={self.knows_clients})'

    @property
    def knows_peers(self) -> bool:
        """Nodes have to show a token."""
        return self._peer_token is not None

    @property
    def knows_clients(self) -> bool:
        """Clients and operators have to show a token."""
        return self._client_token is not None

    def check_peer(self, request: web.Request) -> None:
        """Let in another node.

        Raises `HTTPUnauthorized` without a token, `HTTPForbidden` with a wrong one, and for what
        a browser sends.
        """
        if 'Origin' in request.headers:
            raise _refusal(web.HTTPForbidden, 'pages of browsers may not talk to this node')
        _check(request, self._peer_token, 'the token of the nodes')

    def check_client(self, request: web.Request) -> None:
        """Let in a client or an operator.

        Raises `HTTPUnauthorized` without a token, `HTTPForbidden` with a wrong one.
        """
        _check(request, self._client_token, 'the token of clients')


def checked_token(token: Optional[str]) -> Optional[str]:
    """Return the token. Raises `InvalidParameters` for one that no header can carry."""
    if token is None:
        return None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise InvalidParameters('a token is a text of printable ASCII characters')
    if not token or ' ' in token:
        raise InvalidParameters('a token has at least one character, and no spaces')
    return token


def bearer(token: Optional[str]) -> dict[str, str]:
    """Return the headers that show the token."""
    return {} if token is None else {'Authorization': SCHEME + token}


def _check(request: web.Request, token: Optional[str], what: str) -> None:
    if token is None:
        return
    said = request.headers.get('Authorization')
    if said is None:
        raise _refusal(web.HTTPUnauthorized, f'show {what}: Authorization: Bearer …')
    wanted = (SCHEME + token).encode()
    if not hmac.compare_digest(said.encode('utf-8', 'surrogateescape'), wanted):
        raise _refusal(web.HTTPForbidden, f'this is not {what}')


def _refusal(kind: type[web.HTTPException], text: str) -> web.HTTPException:
    headers = {'WWW-Authenticate': 'Bearer'} if kind is web.HTTPUnauthorized else None
    body = json.dumps({'error': text, 'result': None})
    return kind(text=body, content_type='application/json', headers=headers)


async def check_bind(host: str, access: Access, ssl: Optional[SSLContext]) -> None:
    """Refuse to serve other hosts without asking who they are.

    host: a name or an address; names are looked up.

    Raises `InsecureBind` where peers or clients need to show neither a token nor a
    certificate, and `OSError` for a name that is not found.
    """
    if ssl is not None and ssl.verify_mode is CERT_REQUIRED:
        return
    if access.knows_peers and access.knows_clients:
        return
    if await _is_loopback(host):
        return
    open_to = [
        name
        for name, is_known in (('nodes', access.knows_peers), ('clients', access.knows_clients))
        if not is_known
    ]
    raise InsecureBind(
        f'{host or "every address"} can be reached from other hosts, and {" and ".join(open_to)} '
        'would be let in without a token or a certificate: give peer_token and client_token, or '
        'ssl with verify_mode=CERT_REQUIRED, or say insecure=True'
    )


async def _is_loopback(host: str) -> bool:
    """Return whether only this host can reach it."""
    if not host:
        return False
    found = await get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return all(ip_address(str(address[0]).partition('%')[0]).is_loopback for *_, address in found)
