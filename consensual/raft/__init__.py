"""The public names: everything that a user of consensual, or an author of a transport, needs."""

from consensual.raft import communication, errors
from consensual.raft import communication as plain
from consensual.raft.core.effects import HardState, Snapshot, Stored, Write
from consensual.raft.core.log import Entry
from consensual.raft.core.roles import RoleName
from consensual.raft.driver.measures import Measures, PeerMeasures
from consensual.raft.driver.ports import (
    Context,
    Endpoint,
    MessageKind,
    Observer,
    Processor,
    Receiver,
    Sender,
    Snapshotting,
    StateMachine,
    Storage,
)
from consensual.raft.driver.status import NodeStatus
from consensual.raft.errors import ConsensualError, ReceiverUnavailable
from consensual.raft.node import Node

__all__ = [
    'ConsensualError',
    'Context',
    'Endpoint',
    'Entry',
    'HardState',
    'Measures',
    'MessageKind',
    'Node',
    'NodeStatus',
    'Observer',
    'PeerMeasures',
    'Processor',
    'Receiver',
    'ReceiverUnavailable',
    'RoleName',
    'Sender',
    'Snapshot',
    'Snapshotting',
    'StateMachine',
    'Storage',
    'Stored',
    'Write',
    'communication',
    'errors',
    'plain',
]
