"""What nodes say to each other, and how it becomes a dict of JSON types.

Shapes and validation only; what a message means is the business of the rules.
"""

from collections.abc import Mapping
from enum import IntEnum
from math import isfinite
from typing import Any, Union
from zlib import crc32

import msgspec
from msgspec import Struct

from consensual.raft.core.configuration import Address, Incarnation, NodeId
from consensual.raft.core.log import Command, Entry, Natural, OpenSession, Reconfiguration
from consensual.raft.errors import InvalidMessage

PROTOCOL_VERSION = 1

SNAPSHOT_LIMIT = 999_000_000
"""Bytes that a snapshot may take."""


class MessageKind(IntEnum):
    """The kinds of requests; a transport carries the number beside the message."""

    APPEND_ENTRIES = 1
    REQUEST_VOTE = 2
    REQUEST_PRE_VOTE = 3
    TIMEOUT_NOW = 4
    INQUIRE = 5
    PROPOSE = 6
    READ_INDEX = 7
    CHANGE_MEMBERSHIP = 8
    TRANSFER_LEADERSHIP = 9
    INSTALL_SNAPSHOT = 10


class Route(Struct, frozen=True, array_like=True, gc=False):
    """From which incarnation to which, in which cluster.

    `cluster_id` and `receiver_incarnation` are empty only in an `Inquire`,
    which asks for them.
    """

    cluster_id: str
    sender: NodeId
    sender_incarnation: Incarnation
    receiver: NodeId
    receiver_incarnation: Incarnation

    def back(self) -> 'Route':
        """Return the way of the reply."""
        return Route(
            self.cluster_id,
            self.receiver,
            self.receiver_incarnation,
            self.sender,
            self.sender_incarnation,
        )


class AppendEntries(Struct, frozen=True):
    """Replicates entries; empty, it is a heartbeat (Figure 2).

    `number` counts the messages of the leader in its term; the reply repeats it.
    """

    route: Route
    term: Natural
    number: Natural
    prev_log_index: Natural
    prev_log_term: Natural
    entries: list[Entry]
    leader_commit: Natural
    version: int = PROTOCOL_VERSION


class RequestVote(Struct, frozen=True):
    """A candidate asks for a vote in `term` (Figure 2).

    The position of the asker's configuration lets a voter judge which of the
    two knows more of the membership. `is_transfer` marks an election that the
    leader itself called for (thesis §3.10, §4.2.3).
    """

    route: Route
    term: Natural
    last_log_index: Natural
    last_log_term: Natural
    configuration_term: Natural
    configuration_index: Natural
    is_transfer: bool = False
    version: int = PROTOCOL_VERSION


class RequestPreVote(Struct, frozen=True):
    """Asks whether a vote in `term`, which nobody enters yet, could be had (thesis §9.6).

    `round` counts the times that the asker asked.
    """

    route: Route
    term: Natural
    round: Natural
    last_log_index: Natural
    last_log_term: Natural
    configuration_term: Natural
    configuration_index: Natural
    version: int = PROTOCOL_VERSION


class TimeoutNow(Struct, frozen=True):
    """The leader asks its successor to stand for election at once (thesis §3.10)."""

    route: Route
    term: Natural
    version: int = PROTOCOL_VERSION


class Inquire(Struct, frozen=True):
    """The leader asks a node to be attached who it is.

    `spent` is the incarnation under which the node was attached before: it never
    comes back, so the node begins another life if it is still that one.
    """

    route: Route
    request: str
    spent: Incarnation = ''
    version: int = PROTOCOL_VERSION


class Propose(Struct, frozen=True):
    """A member hands commands of its callers to the leader."""

    route: Route
    payloads: list[Union[Command, OpenSession]]
    version: int = PROTOCOL_VERSION


class ReadIndex(Struct, frozen=True):
    """A member asks up to where it must have applied to read (thesis §6.4)."""

    route: Route
    version: int = PROTOCOL_VERSION


class ChangeMembership(Struct, frozen=True):
    """A member asks the leader to attach or to detach nodes.

    Asked again, the same `request` gets the news of the same change.
    """

    route: Route
    request: str
    attach: list[Address] = []
    detach: list[NodeId] = []
    version: int = PROTOCOL_VERSION


class TransferLeadership(Struct, frozen=True):
    """A member asks the leader to hand over, to `target` or to whom it likes."""

    route: Route
    target: NodeId = ''
    version: int = PROTOCOL_VERSION


class InstallSnapshot(Struct, frozen=True):
    """Brings a piece of a snapshot to a follower that lacks what was compacted away (§7).

    number: counts the messages of the leader in its term, as in AppendEntries.
    last_index, last_term, last_time: of the last entry that the snapshot covers.
    size, checksum: bytes of the whole, and their CRC-32.
    offset, data, data_checksum: where this piece begins, its bytes, and their CRC-32.
    """

    route: Route
    term: Natural
    number: Natural
    last_index: Natural
    last_term: Natural
    last_time: float
    configuration_index: Natural
    configuration_term: Natural
    configuration: Reconfiguration
    size: Natural
    checksum: Natural
    offset: Natural
    data: bytes
    data_checksum: Natural
    version: int = PROTOCOL_VERSION


Request = Union[
    AppendEntries,
    RequestVote,
    RequestPreVote,
    TimeoutNow,
    Inquire,
    Propose,
    ReadIndex,
    ChangeMembership,
    TransferLeadership,
    InstallSnapshot,
]


class AppendEntriesReply(Struct, frozen=True, tag='append_entries'):
    """The follower's answer; `hint` is meaningful when it is no success (§5.3)."""

    route: Route
    term: Natural
    number: Natural
    success: bool
    hint_index: Natural = 0
    hint_term: Natural = 0
    version: int = PROTOCOL_VERSION


class InstallSnapshotReply(Struct, frozen=True, tag='install_snapshot'):
    """The follower's answer to a piece of a snapshot (§7).

    received: bytes that it has of it, from the first on, without a gap.
    is_installed: it has everything that the snapshot covers.
    """

    route: Route
    term: Natural
    number: Natural
    received: Natural
    is_installed: bool
    version: int = PROTOCOL_VERSION


class VoteReply(Struct, frozen=True, tag='vote'):
    """The answer to a RequestVote and to a RequestPreVote."""

    route: Route
    term: Natural
    granted: bool
    version: int = PROTOCOL_VERSION


class InquireReply(Struct, frozen=True, tag='inquire'):
    """Who the node is (the route tells its incarnation) and whether it has a history."""

    route: Route
    is_empty: bool
    cluster_id: str = ''
    version: int = PROTOCOL_VERSION


class ReadIndexReply(Struct, frozen=True, tag='read_index'):
    """Reading at or after `index` is linearizable."""

    route: Route
    index: Natural
    version: int = PROTOCOL_VERSION


class Accepted(Struct, frozen=True, tag='accepted'):
    """The request is under way; its outcome shows elsewhere.

    `node` names whom a transfer of leadership goes to.
    """

    route: Route
    node: NodeId = ''
    version: int = PROTOCOL_VERSION


class Refused(Struct, frozen=True, tag='refused'):
    """The request was refused, for a reason that has nothing to do with terms."""

    reason: str
    detail: str = ''
    version: int = PROTOCOL_VERSION


Reply = Union[
    AppendEntriesReply,
    InstallSnapshotReply,
    VoteReply,
    InquireReply,
    ReadIndexReply,
    Accepted,
    Refused,
]


class Reason:
    """Why a request is refused: the values of `Refused.reason` between nodes.

    Where the refusal is an error of the caller's, the reason is the name of the
    error's class instead.
    """

    VERSION = 'version'
    CLUSTER = 'cluster'
    MISROUTED = 'misrouted'
    INCARNATION = 'incarnation'
    DETACHED = 'detached'
    REMOVED = 'removed'
    LEADER_ALIVE = 'leader_alive'
    NOT_LEADER = 'not_leader'
    BUSY = 'busy'


REQUEST_TYPES: Mapping[MessageKind, type[Request]] = {
    MessageKind.APPEND_ENTRIES: AppendEntries,
    MessageKind.REQUEST_VOTE: RequestVote,
    MessageKind.REQUEST_PRE_VOTE: RequestPreVote,
    MessageKind.TIMEOUT_NOW: TimeoutNow,
    MessageKind.INQUIRE: Inquire,
    MessageKind.PROPOSE: Propose,
    MessageKind.READ_INDEX: ReadIndex,
    MessageKind.CHANGE_MEMBERSHIP: ChangeMembership,
    MessageKind.TRANSFER_LEADERSHIP: TransferLeadership,
    MessageKind.INSTALL_SNAPSHOT: InstallSnapshot,
}
KINDS: Mapping[type, MessageKind] = {type_: kind for kind, type_ in REQUEST_TYPES.items()}
_REPLY_TYPES: Mapping[type, Any] = {
    AppendEntries: Union[AppendEntriesReply, Refused],
    RequestVote: Union[VoteReply, Refused],
    RequestPreVote: Union[VoteReply, Refused],
    TimeoutNow: Union[Accepted, Refused],
    Inquire: Union[InquireReply, Refused],
    Propose: Union[Accepted, Refused],
    ReadIndex: Union[ReadIndexReply, Refused],
    ChangeMembership: Union[Accepted, Refused],
    TransferLeadership: Union[Accepted, Refused],
    InstallSnapshot: Union[InstallSnapshotReply, Refused],
}


def encode(message: Union[Request, Reply]) -> Any:
    """Return the message as a dict of JSON types."""
    return msgspec.to_builtins(message)


def decode_request(kind: Any, message: Any) -> Union[Request, Refused]:
    """Validate what came as a request of that kind.

    A `Refused` is the answer to another protocol version, whatever its shape.
    Raises `InvalidMessage` for what does not validate.
    """
    try:
        request_type = REQUEST_TYPES[kind]
    except (KeyError, TypeError):
        raise InvalidMessage(f'no message is of kind {kind!r}') from None
    if (version := _version(message)) != PROTOCOL_VERSION:
        return Refused(
            Reason.VERSION, f'protocol version {version!r} came, {PROTOCOL_VERSION} is spoken here'
        )
    request: Request = _convert(message, request_type)
    if isinstance(request, AppendEntries):
        _check_order(request)
    elif isinstance(request, InstallSnapshot):
        _check_piece(request)
    return request


def decode_reply(request: Request, message: Any) -> Reply:
    """Validate what came as the reply to that request.

    Raises `InvalidMessage` for what does not validate, and for a reply that
    comes from another node, incarnation or cluster than was asked.
    """
    if (version := _version(message)) != PROTOCOL_VERSION:
        raise InvalidMessage(f'a reply of protocol version {version!r}')
    reply: Reply = _convert(message, _REPLY_TYPES[type(request)])
    if not isinstance(reply, Refused) and not _answers(reply.route, request.route):
        raise InvalidMessage(f'a reply by {reply.route} to what went by {request.route}')
    return reply


def _version(message: Any) -> Any:
    if not isinstance(message, dict):
        raise InvalidMessage(f'a message is a dict, not {type(message).__name__}')
    return message.get('version')


def _convert(message: Any, type_: Any) -> Any:
    try:
        return msgspec.convert(message, type_)
    except msgspec.ValidationError as error:
        raise InvalidMessage(str(error)) from error


def _check_order(request: AppendEntries) -> None:
    """Terms never decrease along a log, nor pass the leader's; stamps are instants."""
    if not all(isfinite(entry.time) for entry in request.entries):
        raise InvalidMessage('a stamp of AppendEntries is no finite number')
    terms = [entry.term for entry in request.entries]
    if terms and (
        terms[0] < request.prev_log_term or terms[-1] > request.term or terms != sorted(terms)
    ):
        raise InvalidMessage('the terms of AppendEntries are out of order')


def _check_piece(request: InstallSnapshot) -> None:
    """A piece is whole and lies within the snapshot, whose entries lie in the leader's past."""
    if crc32(request.data) != request.data_checksum:
        raise InvalidMessage('a piece of a snapshot was damaged on its way')
    if not isfinite(request.last_time):
        raise InvalidMessage('the stamp of InstallSnapshot is no finite number')
    if not request.configuration_index <= request.last_index or not request.last_index:
        raise InvalidMessage(
            'the configuration of a snapshot is none of the entries that it covers'
        )
    if not request.configuration_term <= request.last_term <= request.term:
        raise InvalidMessage('the terms of InstallSnapshot are out of order')
    if not request.size <= SNAPSHOT_LIMIT or request.offset + len(request.data) > request.size:
        raise InvalidMessage(
            f'a piece of a snapshot ends behind it, or behind {SNAPSHOT_LIMIT} bytes'
        )


def _answers(reply: Route, request: Route) -> bool:
    if not request.receiver_incarnation:
        return reply.sender == request.receiver and reply.receiver == request.sender
    return reply == request.back()
