"""What must hold after every turn of every node: one function for each invariant.

Of the commands that are applied then, `command_invariants` tells.
Each returns what is wrong, or None. They read records and change those of the past only.
"""

from collections.abc import Callable
from typing import Optional

from consensual.raft.core.configuration import Electorate, Member
from consensual.raft.core.log import Entry
from consensual.raft.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Reply,
    Request,
    RequestPreVote,
    RequestVote,
    VoteReply,
)
from consensual.raft.core.roles import Leader
from consensual.raft.core.state import State
from consensual.testing import membership_invariants, snapshot_invariants
from consensual.testing.chronicle import Chronicle, Turn
from consensual.testing.disk import Disk

Invariant = Callable[[Turn], Optional[str]]


# The five of Figure 3


def election_safety(turn: Turn) -> Optional[str]:
    """At most one leader can be elected in a given term (§5.2, Figure 3)."""
    if not turn.is_leader:
        return None
    state, leaders = turn.state, turn.chronicle.leaders
    known = leaders.setdefault(state.current_term, state.incarnation)
    if known != state.incarnation:
        return f'leads term {state.current_term}, which the incarnation {known} led'
    return None


def leader_append_only(turn: Turn) -> Optional[str]:
    """A leader never overwrites or deletes entries in its log (§5.3, Figure 3)."""
    state, seen = turn.state, turn.seen
    if turn.changed_from is None or not (turn.is_leader and _is_same_leadership(turn)):
        return None
    if turn.changed_from <= seen.base_index + len(seen.log):
        return f'changed its log from {turn.changed_from} on, leading term {state.current_term}'
    return None


def log_matching(turn: Turn) -> Optional[str]:
    """Logs with an entry of the same index and term are identical up to it (§5.3, Figure 3)."""
    if turn.changed_from is None and not turn.is_new_cluster:
        return None
    log, entries = turn.state.log, turn.chronicle.entries
    first = turn.changed_from if turn.changed_from and not turn.is_new_cluster else 1
    for index in range(max(first, log.first_index), log.last_index + 1):
        entry = log.entry_at(index)
        here = entry, log.term_at(index - 1)
        known = entries.setdefault((index, entry.term), here)
        if known != here:
            return f'has {here} at {index}, where {known} is known'
    return None


def leader_completeness(turn: Turn) -> Optional[str]:
    """Whoever leads a later term has every committed entry (§5.4, Figure 3)."""
    if not turn.is_leader or turn.state.current_term in turn.chronicle.leader_logs:
        return None
    term, log = turn.state.current_term, turn.state.log
    for index, (entry, committed_in) in turn.chronicle.committed.items():
        if committed_in < term and not _has(turn, index, entry):
            return f'leads term {term} without {entry}, committed at {index}'
    own = log.base_index, log.entries(log.first_index, log.last_index)
    turn.chronicle.leader_logs[term] = own
    return None


def state_machine_safety(turn: Turn) -> Optional[str]:
    """No two nodes take different entries for committed at one index (§5.4.3, Figure 3)."""
    state, chronicle = turn.state, turn.chronicle
    known_to = 0 if turn.is_new_cluster else turn.seen.commit_index
    for index in range(max(known_to, state.log.base_index) + 1, state.commit_index + 1):
        entry, term = state.log.entry_at(index), state.current_term
        known, committed_in = chronicle.committed.get(index, (entry, term))
        if known != entry:
            return f'takes {entry} for committed at {index}, where {known} is'
        if index not in chronicle.committed or term < committed_in:
            chronicle.commit(index, entry, term)
            if lacking := _leader_lacking(chronicle, index, entry, term):
                return f'commits {entry} at {index}, which the leader of {lacking} lacks'
    return None


def _leader_lacking(chronicle: Chronicle, index: int, entry: Entry, term: int) -> Optional[int]:
    for later, (base_index, log) in chronicle.leader_logs.items():
        position = index - base_index - 1
        if later > term and position >= 0 and log[position : position + 1] != [entry]:
            return later
    return None


# Elections


def one_vote_per_term(turn: Turn) -> Optional[str]:
    """Each server votes for at most one candidate in a given term (§5.2)."""
    state, seen = turn.state, turn.seen
    is_changed = seen.vote is not None and state.voted_for != seen.vote
    if is_changed and state.current_term == seen.term:
        return f'votes for {state.voted_for} in term {seen.term}, after {seen.vote}'
    for request in turn.effects.requests:
        if type(request) is RequestVote:
            route = request.route
            if wrong := _vote(
                turn, route.sender_incarnation, request.term, route.sender_incarnation
            ):
                return wrong
    for call, reply in turn.effects.answers:
        asked = turn.requests.get(call)
        if type(asked) is RequestVote and type(reply) is VoteReply and reply.granted:
            voter = reply.route.sender_incarnation
            if wrong := _vote(turn, voter, asked.term, asked.route.sender_incarnation):
                return wrong
            if reply.term != asked.term:
                return f'votes in term {reply.term} for a candidate of term {asked.term}'
    return None


def _vote(turn: Turn, voter: str, term: int, candidate: str) -> Optional[str]:
    known = turn.past.votes.setdefault((voter, term), candidate)
    if known != candidate:
        return f'votes for the incarnation {candidate} in term {term}, after {known}'
    return None


def leader_has_a_majority_of_votes(turn: Turn) -> Optional[str]:
    """A candidate wins with a majority of votes, of both majorities while joint (§5.2, §6)."""
    if not turn.is_leader or _is_same_leadership(turn):
        return None
    state, votes = turn.state, turn.past.votes

    def is_for(voter: Member) -> bool:
        given = votes.get((voter.incarnation, state.current_term))
        return voter == state.me or given == state.incarnation

    if _is_majority(state.electorate, is_for):
        return None
    return f'leads term {state.current_term} without a majority of votes'


# What leaders know of others


def match_index_is_on_the_peers_disk(turn: Turn) -> Optional[str]:
    """The match index is that of an entry known to be stored there (Figure 2).

    Until another one leads a later term, and has it overwritten.
    """
    role, state = turn.state.role, turn.state
    if not isinstance(role, Leader) or turn.is_superseded:
        return None
    for progress in role.peers.values():
        index = progress.match_index
        if index > state.log.last_index:
            return f'takes {index} entries of {progress} for its own; it has {state.log.last_index}'
        term = _term_at(turn, index)
        if term and not turn.past.is_durable_at(progress.member.incarnation, index, term):
            return f'takes entry {index} for stored by {progress}'
    return None


# What is durable


def nothing_is_revealed_before_it_is_durable(turn: Turn) -> Optional[str]:
    """Term, vote and entries are on stable storage before a message tells of them (Figure 2)."""
    for request in turn.effects.requests:
        if wrong := _reveal_by_request(turn, request):
            return wrong
    for call, reply in turn.effects.answers:
        if isinstance(reply, VoteReply | AppendEntriesReply | InstallSnapshotReply):
            if wrong := _reveal_term(turn, reply.route.sender_incarnation, reply.term):
                return f'{wrong} by a {type(reply).__name__}'
            asked = turn.requests.get(call)
            if asked is not None and (wrong := _promise(turn, asked, reply)):
                return wrong
    return None


def _reveal_by_request(turn: Turn, request: Request) -> Optional[str]:
    term = getattr(request, 'term', 0) - (type(request) is RequestPreVote)
    if wrong := _reveal_term(turn, request.route.sender_incarnation, term):
        return f'{wrong} by a {type(request).__name__}'
    if type(request) is RequestVote and not _holds_vote(turn, request, request.route.sender):
        return f'asks for votes of term {term} before its own is durable'
    return None


def _promise(turn: Turn, asked: Request, reply: Reply) -> Optional[str]:
    """A vote and an acknowledgement are promises."""
    if asked.route.receiver_incarnation != turn.state.incarnation:
        return None  # asked in an earlier life
    match asked, reply:
        case RequestVote(), VoteReply(granted=True):
            if not _holds_vote(turn, asked, asked.route.sender):
                return f'grants a vote of term {asked.term} before it is durable'
        case AppendEntries(), AppendEntriesReply(success=True):
            if index := _not_durable(turn, asked):
                return f'acknowledges entry {index} before it is durable'
        case InstallSnapshot(), InstallSnapshotReply(is_installed=True):
            if not turn.disk.holds(asked.last_index, asked.last_term):
                return f'acknowledges all up to {asked.last_index} before it is durable'
    return None


def _reveal_term(turn: Turn, incarnation: str, term: int) -> Optional[str]:
    if incarnation != turn.state.incarnation:  # it was reset meanwhile: another life's message
        return None
    if turn.disk.incarnation != incarnation or turn.disk.term < term:
        return f'reveals term {term} before it is durable'
    terms = turn.past.revealed_terms
    terms[incarnation] = max(terms.get(incarnation, 0), term)
    return None


def _holds_vote(turn: Turn, request: RequestVote, candidate: str) -> bool:
    """The vote is durable, or a later term is, in which nobody can be given it any more."""
    durable = turn.disk.hard_state
    if durable is None:
        return False
    if durable.current_term == request.term:
        vote = candidate, request.route.sender_incarnation
        return (durable.voted_for, durable.voted_incarnation) == vote
    return durable.current_term > request.term


def _not_durable(turn: Turn, request: AppendEntries) -> int:
    """Return the first acknowledged entry that is in the log but not on the disk; 0 for none."""
    for index, entry in enumerate(request.entries, request.prev_log_index + 1):
        is_here = _term_at(turn, index) == entry.term
        if is_here and not turn.disk.holds(index, entry.term):
            return index
    return 0


def durable_index_is_on_disk(turn: Turn) -> Optional[str]:
    """What a node counts as durable is: a leader counts itself by it (thesis §10.2.1)."""
    durable_index, last = turn.state.durability.durable_index, turn.state.log.last_index
    if durable_index == turn.seen.durable_index and turn.changed_from is None:
        return None
    if durable_index > last:
        return f'takes {durable_index} entries for durable, of {last}'
    term = _term_at(turn, durable_index)
    if term and not turn.disk.holds(durable_index, term):
        return f'takes its entries up to {durable_index} for durable; they are not'
    return None


def committed_is_durable_on_a_quorum(turn: Turn) -> Optional[str]:
    """A leader commits what a majority has stored, both while joint, by an entry of its term.

    §5.3; §5.4.2 for the term; §6 for the two majorities.
    """
    state, index = turn.state, turn.state.commit_index
    if index <= turn.seen.commit_index or index in turn.chronicle.committed:
        return None
    if not turn.is_leader:
        return f'takes entry {index} for committed before any leader does'
    term = state.log.term_at(index)
    if term != state.current_term:
        return f'commits entry {index} of term {term} by counting, leading {state.current_term}'

    def is_stored(voter: Member) -> bool:
        return turn.past.is_durable_at(voter.incarnation, index, term)

    if _is_majority(state.electorate, is_stored) or _is_majority(turn.seen.electorate, is_stored):
        return None
    return f'commits entry {index}, which is on no majority of disks'


# What never goes back


def recovered_is_what_was_stored(state: State, disk: Disk) -> Optional[str]:
    """A server begins again with the term, vote and log on its stable storage (Figure 2)."""
    if disk.hard_state is None:
        return None
    if state.hard_state != disk.hard_state:
        return f'begins with {state.hard_state}, where {disk.hard_state} was stored'
    log, contents = state.log, disk.contents
    if state.snapshot != contents.snapshot:
        return f'begins with {state.snapshot}, where {contents.snapshot} was stored'
    left_out = log.first_index - contents.first_index
    stored = contents.entries[left_out:] if left_out in (0, 1) else None
    is_same = log.entries(log.first_index, log.last_index) == stored
    if not is_same or log.last_index != contents.last_index:
        return f'begins with {state.log}, where {contents} were stored'
    return None


def terms_never_go_back(turn: Turn) -> Optional[str]:
    """Current terms increase monotonically (§5.1), also over crashes."""
    state = turn.state
    known = max(turn.past.revealed_terms.get(state.incarnation, 0), turn.seen.term)
    if state.current_term < known:
        return f'is in term {state.current_term}, after {known}'
    return None


def commit_index_never_goes_back(turn: Turn) -> Optional[str]:
    """The commit index increases monotonically, and never passes the log (Figure 2)."""
    state = turn.state
    if state.commit_index < turn.seen.commit_index:
        return f'has commit index {state.commit_index}, after {turn.seen.commit_index}'
    if state.commit_index > state.log.last_index:
        return f'has commit index {state.commit_index} and {state.log.last_index} entries'
    return None


def committed_entries_stay(turn: Turn) -> Optional[str]:
    """What is committed stays in the log, unless the node is reset (§5.3, §5.4)."""
    if turn.changed_from is not None and turn.changed_from <= turn.seen.commit_index:
        return f'changed its log from {turn.changed_from}, of {turn.seen.commit_index} committed'
    return None


def applied_index_never_goes_back(turn: Turn) -> Optional[str]:
    """Entries are handed out to be applied once, in order, when committed (§5.3)."""
    effects = turn.effects
    if not effects.committed:
        return None
    first, last = effects.first_committed, effects.first_committed + len(effects.committed) - 1
    emitted = effects.restore.index if effects.restore is not None else turn.seen.emitted
    if first != emitted + 1:
        return f'applies from {first} on, after {emitted}'
    if last > turn.state.commit_index:
        return f'applies up to {last}, of {turn.state.commit_index} committed'
    return None


# Counting


def _is_majority(electorate: Electorate, is_one: Callable[[Member], bool]) -> bool:
    """Each group agrees by majority; nobody is none."""
    return bool(electorate) and all(
        2 * sum(map(is_one, group)) > len(group) for group in electorate
    )


def _is_same_leadership(turn: Turn) -> bool:
    state, seen = turn.state, turn.seen
    leadership = state.current_term, state.cluster_id
    return seen.leads and (seen.term, seen.cluster_id) == leadership


def _term_at(turn: Turn, index: int) -> int:
    """Return the term of an entry, of one that was compacted away, too; 0 where none is known."""
    log = turn.state.log
    if log.base_index <= index <= log.last_index:
        return log.term_at(index)
    known = turn.chronicle.committed.get(index)
    return known[0].term if known is not None else 0


def _has(turn: Turn, index: int, entry: Entry) -> bool:
    log = turn.state.log
    if index <= log.base_index:
        return index < log.base_index or log.term_at(index) == entry.term
    return index <= log.last_index and log.entry_at(index) == entry


AFTER_EVERY_TURN: tuple[Invariant, ...] = (
    election_safety,
    leader_append_only,
    log_matching,
    leader_completeness,
    committed_is_durable_on_a_quorum,
    state_machine_safety,
    match_index_is_on_the_peers_disk,
    one_vote_per_term,
    leader_has_a_majority_of_votes,
    nothing_is_revealed_before_it_is_durable,
    durable_index_is_on_disk,
    terms_never_go_back,
    commit_index_never_goes_back,
    committed_entries_stay,
    applied_index_never_goes_back,
    *snapshot_invariants.AFTER_EVERY_TURN,
    *membership_invariants.AFTER_EVERY_TURN,
)
