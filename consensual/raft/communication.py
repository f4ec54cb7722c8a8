"""In-memory communication: nodes of one process find each other in a shared dict.

The default transport, and the smallest example of one.
"""

from collections.abc import Collection, Mapping, MutableMapping
from typing import Any

from yarl import URL

from consensual.raft.driver.addresses import id_of
from consensual.raft.driver.ports import Endpoint, MessageKind
from consensual.raft.driver.ports import Receiver as _Receiver
from consensual.raft.driver.ports import Sender as _Sender
from consensual.raft.errors import ConsensualError, NodeStopped, ReceiverUnavailable


class Sender(_Sender):
    """Hands messages to the nodes in a dict.

    urls: whom it may send to; the node keeps it up to date.
    nodes: the running nodes by authority, shared with their Receivers.
    """

    def __init__(self, urls: Collection[URL], nodes: Mapping[str, Endpoint]) -> None:
        self.urls = urls
        self._nodes = nodes

    def __repr__(self) -> str:
        return f'Sender({sorted(map(str, self.urls))}, {sorted(self._nodes)})'

    async def send(self, *, kind: MessageKind, message: Any, url: URL) -> Any:
        """Let the node at that URL receive the message; return its reply.

        Raises `ReceiverUnavailable` when it is not in the dict, or stopped.
        """
        if url not in self.urls:
            raise ReceiverUnavailable(f'{url} is none of the nodes that this one knows')
        node = self._nodes.get(id_of(url))
        if node is None:
            raise ReceiverUnavailable(f'nobody receives at {url}')
        try:
            return await node.receive(kind=kind, message=message)
        except NodeStopped as error:
            raise ReceiverUnavailable(f'the node at {url} is stopped') from error
        except ConsensualError as error:
            raise ReceiverUnavailable(f'the node at {url} gives no answer: {error}') from error


class Receiver(_Receiver):
    """Puts a node into the dict, where Senders find it.

    node: who receives.
    nodes: the running nodes by authority, shared with the Senders.
    """

    def __init__(self, node: Endpoint, nodes: MutableMapping[str, Any]) -> None:
        self._node = node
        self._nodes = nodes
        self._is_running = False

    def __repr__(self) -> str:
        return f'Receiver({self._node!r}, running={self._is_running})'

    @property
    def is_running(self) -> bool:
        """True between `start` and `stop`."""
        return self._is_running

    def start(self) -> None:
        """Be found from now on.

        Raises `RuntimeError` when running already, `OSError` when another
        receiver has that address.
        """
        if self._is_running:
            raise RuntimeError(f'the receiver of {self._node.url} is already running')
        if id_of(self._node.url) in self._nodes:
            raise OSError(f'the address {self._node.url} is taken by another receiver')
        self._nodes[id_of(self._node.url)] = self._node
        self._is_running = True

    def stop(self) -> None:
        """Be found no more; stopped already, do nothing."""
        if self._is_running:
            self._is_running = False
            del self._nodes[id_of(self._node.url)]
