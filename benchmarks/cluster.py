"""The cluster that the workers measure: three nodes of this library in one process."""

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from yarl import URL

from consensual.raft import Node, communication

SIZE = 3


def make(url: URL, registry: dict[str, Node], part: Mapping[str, Any]) -> Node:
    """Make a node, and let it be found in the place of the one that was at that URL."""
    node = Node.from_url(url, sender=communication.Sender([url], registry), **part)
    registry.pop(node.status.id, None)
    communication.Receiver(node, registry).start()
    return node


async def found(
    parts: Sequence[Mapping[str, Any]], registry: Optional[dict[str, Node]] = None
) -> list[Node]:
    """Found a cluster of a node for each of the parts, which `Node.from_url` is given.

    The first one leads. Ends the process when that does not succeed.
    registry: where they find each other; default: a dict of their own.
    """
    registry = {} if registry is None else registry
    urls = [
        URL.build(scheme='http', host='127.0.0.1', port=6000 + index) for index in range(len(parts))
    ]
    nodes = [make(url, registry, part) for url, part in zip(urls, parts, strict=True)]
    for error in (await nodes[0].solo(), await nodes[0].attach_nodes(urls[1:])):
        if error is not None:
            raise SystemExit(error)
    return nodes


async def stop(nodes: Sequence[Node]) -> None:
    """Stop them, the leader last: nobody has to be elected."""
    for node in reversed(nodes):
        await node.stop()
