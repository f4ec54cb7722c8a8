"""A snapshot on its way from a leader to a follower, piece by piece, as each end counts it.

Bookkeeping only; when a piece is sent and what is done with it is `snapshots`.
"""

from zlib import crc32

from consensual.raft.core.effects import Snapshot
from consensual.raft.core.messages import InstallSnapshot


class Outgoing:
    """A snapshot that a leader sends to one peer.

    offset: where the next piece begins.
    received: bytes that the peer has, as it said last.
    in_flight: the numbers of the messages without an answer yet.
    is_paused: a piece was lost: the next heartbeat goes on.
    """

    __slots__ = 'in_flight', 'is_paused', 'offset', 'received', 'snapshot'

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.offset = self.received = 0
        self.in_flight: set[int] = set()
        self.is_paused = False

    def __repr__(self) -> str:
        return f'Outgoing({self.snapshot.index}, {self.received} of {len(self.snapshot.data)})'

    @property
    def is_sent(self) -> bool:
        """Every piece was sent, and none of them is known to be lost."""
        return self.offset >= len(self.snapshot.data) and bool(self.in_flight)

    def answered(self, number: int) -> None:
        """That message needs no answer any more; with none left, go on from what arrived."""
        self.in_flight.discard(number)
        if not self.in_flight:
            self.offset = self.received


class Incoming:
    """A snapshot that a follower receives.

    first: a piece of it, which tells what all of them tell.
    term: of the leader that sent a piece last.
    received: bytes that are there without a gap.
    """

    __slots__ = '_checksum', '_early', '_pieces', 'first', 'received', 'term'

    def __init__(self, first: InstallSnapshot) -> None:
        self.first = first
        self.term = first.term
        self.received = 0
        self._checksum = 0
        self._pieces: list[bytes] = []
        self._early: dict[int, bytes] = {}

    def __repr__(self) -> str:
        return f'Incoming({self.first.last_index}, {self.received} of {self.first.size})'

    def is_of(self, request: InstallSnapshot) -> bool:
        """Tell whether the piece is one of this very snapshot, whoever sends it."""
        return _identity(request) == _identity(self.first)

    def is_newer(self, request: InstallSnapshot) -> bool:
        """Tell whether the piece is a late one: its leader has begun with this one since."""
        return self.term == request.term and self.first.last_index > request.last_index

    def take(self, request: InstallSnapshot) -> None:
        """Add the piece, then those that overtook it; one that is early waits for its turn."""
        self.term = request.term
        if request.offset >= self.received:
            self._early[request.offset] = request.data
        while data := self._early.pop(self.received, b''):
            self._pieces.append(data)
            self._checksum = crc32(data, self._checksum)
            self.received += len(data)

    @property
    def is_complete(self) -> bool:
        """Every byte is there."""
        return self.received == self.first.size

    @property
    def is_sound(self) -> bool:
        """The bytes are those that the leader has."""
        return self._checksum == self.first.checksum

    def snapshot(self) -> Snapshot:
        """Put the pieces together."""
        first = self.first
        return Snapshot(
            first.last_index,
            first.last_term,
            first.last_time,
            first.configuration_index,
            first.configuration_term,
            first.configuration,
            b''.join(self._pieces),
            first.checksum,
        )


def _identity(request: InstallSnapshot) -> tuple[int, int, int, int]:
    return request.last_index, request.last_term, request.size, request.checksum
