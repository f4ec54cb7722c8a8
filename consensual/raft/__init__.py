"""The public names: everything that a user of consensual, or an author of a transport, needs."""

from consensual.raft import communication, errors
from consensual.raft import communication as plain
from consensual.raft.driver.ports import (
    Context,
    MessageKind,
    Processor,
    Receiver,
    Sender,
    StateMachine,
    Storage,
)
from consensual.raft.driver.status import NodeStatus
from consensual.raft.errors import ConsensualError, ReceiverUnavailable
from consensual.raft.node import Node

__all__ = [
    'ConsensualError',
    'Context',
    'MessageKind',
    'Node',
    'NodeStatus',
    'Processor',
    'Receiver',
    'ReceiverUnavailable',
    'Sender',
    'StateMachine',
    'Storage',
    'communication',
    'errors',
    'plain',
]
