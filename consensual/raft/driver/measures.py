"""Figures of a node at one moment, beyond its status: how far its peers are, what it heard.

Read from the core's state; nothing is decided here.
"""

from typing import Optional

from msgspec import Struct
from yarl import URL

from consensual.raft.core.commitment import knows_commit
from consensual.raft.core.progress import Progress
from consensual.raft.core.roles import Follower, Leader
from consensual.raft.core.state import State


class PeerMeasures(Struct, frozen=True):
    """One peer as its leader sees it.

    flow: how entries get to it: 'probe', 'replicate' or 'snapshot'.
    match_index: the last entry that its log is known to share.
    lag: entries of the leader's log that it is not known to have.
    in_flight: messages with entries, or pieces of a snapshot, that it has not answered yet.
    silence: seconds since it answered last.
    """

    url: URL
    flow: str
    match_index: int
    lag: int
    in_flight: int
    silence: float


class Measures(Struct, frozen=True):
    """A node at one moment, in figures.

    election_timeout: seconds, T.
    silence: seconds since it heard its leader, 0 for a leader itself; None when it did not.
    knows_commit: it knows an entry of its term that is committed, and so all that was before.
    log_entries: that it keeps.
    snapshot_size: bytes of its snapshot, 0 without one.
    peers: those of a leader; of another node none.
    """

    election_timeout: float
    silence: Optional[float] = None
    knows_commit: bool = False
    log_entries: int = 0
    snapshot_size: int = 0
    peers: tuple[PeerMeasures, ...] = ()


def measure(state: Optional[State], election_timeout: float, now: float) -> Measures:
    """Return the figures; a node that does not run has no state.

    now: seconds of the node's own clock.
    """
    if state is None:
        return Measures(election_timeout)
    last_index = state.log.last_index
    silence: Optional[float] = None
    peers: tuple[PeerMeasures, ...] = ()
    match state.role:
        case Leader() as role:
            silence = 0.0
            peers = tuple(_peer(peer, last_index, now) for peer in role.peers.values())
        case Follower(heard_at=heard_at) if heard_at is not None:
            silence = now - heard_at
    return Measures(
        election_timeout,
        silence,
        knows_commit(state),
        last_index - state.log.first_index + 1,
        len(state.snapshot.data) if state.snapshot is not None else 0,
        peers,
    )


def _peer(peer: Progress, last_index: int, now: float) -> PeerMeasures:
    pieces = len(peer.outgoing.in_flight) if peer.outgoing is not None else 0
    return PeerMeasures(
        URL(peer.member.url),
        peer.flow.value,
        peer.match_index,
        last_index - peer.match_index,
        len(peer.in_flight) + pieces,
        now - peer.heard_at,
    )
