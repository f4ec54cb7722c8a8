"""The cluster that the workers measure: three nodes of this library in one process."""

from collections.abc import Mapping, Sequence
from typing import Any

from yarl import URL

from consensual.raft import Node, communication

SIZE = 3


async def found(parts: Sequence[Mapping[str, Any]]) -> list[Node]:
    """Found a cluster of a node for each of the parts, which `Node.from_url` is given.

    The first one leads. Ends the process when that does not succeed.
    """
    registry: dict[str, Node] = {}
    urls = [
        URL.build(scheme='http', host='127.0.0.1', port=6000 + index) for index in range(len(parts))
    ]
    nodes = [
        Node.from_url(url, sender=communication.Sender([url], registry), **part)
        for url, part in zip(urls, parts, strict=True)
    ]
    for node in nodes:
        communication.Receiver(node, registry).start()
    for error in (await nodes[0].solo(), await nodes[0].attach_nodes(urls[1:])):
        if error is not None:
            raise SystemExit(error)
    return nodes


async def stop(nodes: Sequence[Node]) -> None:
    """Stop them, the leader last: nobody has to be elected."""
    for node in reversed(nodes):
        await node.stop()
