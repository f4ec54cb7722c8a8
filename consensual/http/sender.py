"""Carries a node's messages to others by HTTP: a link to each, made when it is needed.

How a link works is `link`.
"""

from asyncio import Task, gather
from collections.abc import Collection
from random import Random
from ssl import SSLContext
from typing import Any, Optional, Self

from yarl import URL

from consensual.http.link import Link, Target
from consensual.http.security import bearer, checked_token
from consensual.http.wire import NODE_HEADER
from consensual.raft import MessageKind, ReceiverUnavailable
from consensual.raft import Sender as _Sender


class Sender(_Sender):
    """Carries the messages of the node at `url` to other nodes, whose `Receiver` takes them.

    url: of the node that sends; the others learn from it whose connection broke.
    ssl: for `https` URLs: whom to trust and, where the others ask for it, the certificate to
        show. With it, nothing is sent to `http` URLs.
    token: what the others ask for, see `Receiver`.
    random: for the pauses between attempts to connect.

    Connections that are not used for a minute are closed, and all of them at the end of the
    event loop; `close`, or `async with`, does it at once.

    Raises `InvalidParameters` for a token that no header can carry.
    """

    def __init__(
        self,
        url: URL,
        *,
        ssl: Optional[SSLContext] = None,
        token: Optional[str] = None,
        random: Optional[Random] = None,
    ) -> None:
        self._url = url
        self._ssl = ssl
        self._headers = bearer(checked_token(token)) | {NODE_HEADER: str(url)}
        self._random = random or Random()  # noqa: S311 - no secret is drawn from it
        self._urls: Collection[URL] = frozenset()
        self._links: dict[URL, Link] = {}
        self._closing: set[Task[None]] = set()

    def __repr__(self) -> str:
        return f'Sender({self._url}, {len(self._links)} links)'

    @property
    def urls(self) -> Collection[URL]:
        """Whom it may send to; the links to others are closed."""
        return self._urls

    @urls.setter
    def urls(self, urls: Collection[URL]) -> None:
        self._urls = frozenset(urls)
        for url in [url for url in self._links if url not in self._urls]:
            self._drop(self._links.pop(url))

    async def send(self, *, kind: MessageKind, message: Any, url: URL) -> Any:
        """Deliver a message, a dict of JSON types, and return the reply, another one.

        Raises `ReceiverUnavailable` when there is no reply: nobody could be reached, the
        connection broke, this node was not let in, or the other one refused.
        """
        if url not in self._urls:
            raise ReceiverUnavailable(f'{url} is none of the nodes that this one knows')
        link = self._links.get(url)
        if link is None or not link.is_alive:
            link = self._links[url] = Link(self._target(url), self._random)
        return await link.call(kind, message)

    async def close(self) -> None:
        """End all connections; what is being sent fails. Another `send` opens them anew."""
        while self._links:
            self._drop(self._links.popitem()[1])
        await gather(*self._closing, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _target(self, url: URL) -> Target:
        if url.scheme not in ('http', 'https'):
            raise ReceiverUnavailable(f'{url} is not reached by HTTP: it takes http or https')
        if url.scheme == 'http' and self._ssl is not None:
            raise ReceiverUnavailable(f'{url} is not https, and messages are to be encrypted')
        return Target(url, self._headers, self._ssl)

    def _drop(self, link: Link) -> None:
        task = link.close()
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
