"""What the page may ask for: shapes and their validation only; `Cluster` carries it out."""

from typing import Annotated, Union

import msgspec
from msgspec import Meta, Struct

from consensual.cli.demo.web.network import LATENCY_LIMIT, LOSS_LIMIT

TEXT_LIMIT = 24
"""Characters of a command."""

Name = Annotated[str, Meta(max_length=8)]


class _Order(Struct, frozen=True, forbid_unknown_fields=True, tag_field='do', tag=str.lower):
    pass


class Enqueue(_Order, frozen=True):
    """Have a command applied; through the leader, unless a node is named."""

    text: Annotated[str, Meta(max_length=TEXT_LIMIT)] = ''
    node: Name = ''


class Cut(_Order, frozen=True):
    """Move a node to the far side of the cut."""

    node: Name


class Heal(_Order, frozen=True):
    """Bring a node back from the far side; all of them, unless one is named."""

    node: Name = ''


class Kill(_Order, frozen=True):
    """Crash a node; its disk stays."""

    node: Name


class Restart(_Order, frozen=True):
    """Start a node that was killed, with its disk."""

    node: Name


class Attach(_Order, frozen=True):
    """Attach a node that is detached, reset, or a new one unless one is named."""

    node: Name = ''


class Detach(_Order, frozen=True):
    """Detach a node from the cluster."""

    node: Name


class Tune(_Order, frozen=True):
    """Set the latency, in seconds, and the share of messages that are lost."""

    latency: Annotated[float, Meta(ge=0, le=LATENCY_LIMIT)]
    loss: Annotated[float, Meta(ge=0, le=LOSS_LIMIT)]


Order = Union[Enqueue, Cut, Heal, Kill, Restart, Attach, Detach, Tune]

decode = msgspec.json.Decoder(Order).decode
"""Returns the order in a body. Raises `msgspec.DecodeError`."""
