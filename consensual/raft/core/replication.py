"""Log replication: AppendEntries, from both ends (§5.3, Figure 2).

When an entry counts as committed is `commitment`; who is a peer is `membership`.
"""

from collections.abc import Sequence
from math import inf
from typing import Optional

from consensual.raft.core import terms
from consensual.raft.core.configuration import Electorate, NodeId
from consensual.raft.core.events import CallId
from consensual.raft.core.identity import is_member
from consensual.raft.core.log import Entry, NoOp, Payload
from consensual.raft.core.messages import (
    Accepted,
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    Propose,
    Reason,
    Refused,
)
from consensual.raft.core.progress import Flow, Progress, Round
from consensual.raft.core.quorum import has_quorum
from consensual.raft.core.roles import Detached, Follower, Leader
from consensual.raft.core.state import State
from consensual.raft.errors import InvariantViolated

# The leader's side.


def append_own(state: State, payloads: Sequence[Payload]) -> None:
    """Append entries of the current term to the leader's own log (§5.3)."""
    time = stamp(state)
    state.append([Entry(state.current_term, time, payload) for payload in payloads])


def stamp(state: State) -> float:
    """Return the cluster's time, in seconds since it began, never backwards.

    It is the last committed stamp plus the node's own monotonic time since it
    learned that; a leader goes on from where it was when it was elected.
    """
    latest = state.log.time_at(state.log.last_index)
    return max(latest, state.clock_stamp + (state.now - state.clock_base))


def follow_configuration(state: State, leader: Leader) -> None:
    """Replicate to whoever is in the configuration in force; others are to be told."""
    configuration = state.configuration
    for member in configuration.members:
        progress = leader.peers.get(member.id)
        is_known = progress is not None and progress.member == member and not progress.leaves_at
        if member != state.me and not is_known:
            progress = Progress(member, state.route_to(member), state.log.last_index, state.now)
            if member in configuration.learners:
                progress.round = Round(state.log.last_index, state.now)
            leader.peers[member.id] = progress
    for progress in leader.peers.values():
        if progress.member not in configuration.members and progress.leaves_at is None:
            progress.leaves_at = state.configured.index
    leader.learners_deadline = (
        state.now + state.settings.attach_timeout if configuration.learners else None
    )


def append_no_op(state: State) -> None:
    """A new leader appends an entry of its term, to learn what is committed (§8)."""
    append_own(state, [NoOp()])


def take_proposals(state: State, call: CallId, request: Propose) -> None:
    """The leader appends commands to its log (§5.3); nobody else does."""
    leader = state.role
    if not isinstance(leader, Leader):
        return terms.refuse_as_not_leader(state, call)
    uncommitted = state.log.size(state.commit_index + 1, state.log.last_index)
    is_handing_over = leader.transfer is not None or leader.retire_deadline is not None
    if is_handing_over or uncommitted > state.settings.uncommitted_limit:
        return state.durability.answer(call, Refused(Reason.BUSY))
    if not is_member(state, request.route):
        return state.durability.answer(call, Refused(Reason.REMOVED))
    append_own(state, request.payloads)
    if proposer := leader.peers.get(request.route.sender):
        proposer.awaited_commit = state.log.last_index
    state.durability.answer(call, Accepted(request.route.back()))


def beat(state: State, leader: Leader) -> None:
    """Send everybody something every heartbeat, or step down (§5.2, check quorum).

    A leader that was stalled itself cannot hold the silence against the others,
    once.
    """
    is_late = state.now - leader.heartbeat_deadline > state.settings.heartbeat
    if is_late and not leader.is_excused:
        for progress in leader.peers.values():
            progress.heard_at = state.now
    leader.is_excused = is_late
    if not is_heard_by_quorum(state, leader, state.electorate):
        state.warn(f'{state.id} cannot reach a majority any more and steps down')
        return terms.become_follower(state)
    leader.heartbeat_deadline = state.now + state.settings.heartbeat
    for progress in leader.peers.values():
        progress.may_probe = True
        if progress.outgoing is not None:
            progress.outgoing.is_paused = False
        _send_one(state, leader, progress)


def is_heard_by_quorum(
    state: State, leader: Leader, electorate: Electorate, since: float = -inf
) -> bool:
    """A leader that reached no quorum for an election timeout may be another's past.

    since: an instant after which it must have been, too.
    """
    since = max(since, state.now - state.settings.election_timeout)
    heard = {peer.member for peer in leader.peers.values() if peer.heard_at > since}
    return has_quorum(electorate, heard | {state.me})


def send_due(state: State, leader: Leader) -> None:
    """Send every peer what it lacks, as far as its window allows."""
    for progress in leader.peers.values():
        if len(progress.in_flight) >= state.settings.in_flight_limit:
            continue
        if progress.flow is Flow.PROBE:
            if progress.may_probe:
                _send_one(state, leader, progress)
            continue
        while (
            progress.flow is Flow.REPLICATE
            and progress.next_index <= state.log.last_index
            and _has_room(state, progress)
        ):
            _send_one(state, leader, progress)
        if (progress.is_due or _awaits_commit(state, progress)) and _has_room(state, progress):
            _send_one(state, leader, progress)


def _awaits_commit(state: State, progress: Progress) -> bool:
    """It waits for news, and can be told: behind a snapshot on its way it could not match them."""
    return progress.flow is Flow.REPLICATE and progress.sent_commit < min(
        progress.awaited_commit, state.commit_index
    )


def _has_room(state: State, progress: Progress) -> bool:
    """The window is open, and not for a peer that seems to be away."""
    return len(progress.in_flight) < state.settings.in_flight_limit and not is_away(state, progress)


def is_away(state: State, progress: Progress) -> bool:
    """The peer was silent for an election timeout: it is sent no more than heartbeats."""
    return progress.heard_at <= state.now - state.settings.election_timeout


def _send_one(state: State, leader: Leader, progress: Progress) -> None:
    """Send the entries that follow; none to a peer that seems to be away, or gets a snapshot."""
    log = state.log
    if progress.next_index < log.first_index:
        _begin_at_first(state, progress)
    first = progress.next_index
    last = first - 1
    is_fed = progress.flow is not Flow.SNAPSHOT and _has_room(state, progress)
    if first <= log.last_index and is_fed:
        last = min(log.last_within(first, state.settings.message_limit), log.last_index)
    leader.last_number += 1
    commit = min(state.commit_index, last)
    state.durability.send_in_parallel(
        AppendEntries(
            progress.route,
            state.current_term,
            leader.last_number,
            first - 1,
            log.term_at(first - 1),
            log.entries(first, last),
            commit,
        )
    )
    progress.in_flight[leader.last_number] = progress.match_index
    progress.sent_number, progress.sent_commit = leader.last_number, commit
    progress.is_due = progress.may_probe = False
    if progress.flow is Flow.REPLICATE:
        progress.next_index = last + 1


def _begin_at_first(state: State, progress: Progress) -> None:
    """What was to be sent next was compacted away: see whether the peer has it (§7)."""
    if progress.flow is Flow.SNAPSHOT and state.snapshot is not None:
        progress.send(state.snapshot)
    else:
        progress.probe_from(state.log.first_index)


def addressee(
    state: State, request: AppendEntries | InstallSnapshot
) -> Optional[tuple[Leader, Progress]]:
    """Return who was asked, by a leader that still leads in that term, and for whom."""
    leader = state.role
    if not isinstance(leader, Leader) or request.term != state.current_term:
        return None
    progress = leader.peers.get(request.route.receiver)
    return (leader, progress) if progress and progress.route == request.route else None


def take_reply(
    state: State, request: AppendEntries, reply: AppendEntriesReply | Refused | None
) -> None:
    """Count a reply once, for the term and the message that asked; None is a failed call."""
    if (found := addressee(state, request)) is None:
        return
    leader, progress = found
    matched_then = progress.in_flight.pop(request.number, None)
    if matched_then is None:
        return
    if not isinstance(reply, AppendEntriesReply) or reply.number != request.number:
        if progress.flow is Flow.REPLICATE:
            progress.probe_from(progress.match_index + 1)
        if isinstance(reply, Refused):
            heed_refusal(state, leader, progress, reply)
        return
    if reply.term > state.current_term:
        return terms.observe(state, reply.term)
    progress.answered(request.number, state.now)
    if reply.success:
        progress.matched(request.prev_log_index + len(request.entries))
        progress.told_commit = max(progress.told_commit, request.leader_commit)
    else:
        _find_agreement(state, progress, request, reply, matched_then)


def _find_agreement(
    state: State,
    progress: Progress,
    request: AppendEntries,
    reply: AppendEntriesReply,
    matched_then: int,
) -> None:
    """Go back to where the logs can agree: whole terms at a time (§5.3, end)."""
    rejected = request.prev_log_index
    if rejected <= matched_then:
        return _name_once(
            state, progress, 'denies entries that it acknowledged: its storage went back in time'
        )
    if rejected <= progress.match_index:
        return None  # it overtook what it lacked
    if progress.flow is Flow.SNAPSHOT:
        return None  # it is on its way
    if progress.flow is Flow.PROBE and rejected != progress.next_index - 1:
        return  # an older probe
    agreed = state.log.last_of_term_at_most(reply.hint_term, min(reply.hint_index, rejected - 1))
    if agreed < state.log.base_index and state.snapshot is not None:
        return progress.send(state.snapshot)
    progress.probe_from(agreed + 1)
    progress.may_probe = True
    return None


def heed_refusal(state: State, leader: Leader, progress: Progress, refusal: Refused) -> None:
    """Learn why a peer does not follow."""
    if progress.leaves_at is not None and refusal.reason in (
        Reason.DETACHED,
        Reason.CLUSTER,
        Reason.INCARNATION,
    ):
        del leader.peers[progress.member.id]
    elif refusal.reason == Reason.INCARNATION:
        if progress.returned_as != refusal.detail:
            progress.returned_as, progress.returned_at = refusal.detail, state.now
        _name_once(state, progress, 'lost its data, so it counts for nothing until it is back')
    elif refusal.reason in (Reason.CLUSTER, Reason.DETACHED, Reason.MISROUTED):
        _name_once(state, progress, f'does not belong to this cluster any more ({refusal.reason})')


def _name_once(state: State, progress: Progress, text: str) -> None:
    if not progress.is_named:
        progress.is_named = True
        state.warn(f'{progress.member.id} {text}')


# The follower's side.


def follow(state: State, call: CallId, request: AppendEntries) -> None:
    """Answer AppendEntries (Figure 2: receiver implementation)."""
    reply_route = request.route.back()
    if request.term < state.current_term:
        reply = AppendEntriesReply(reply_route, state.current_term, request.number, False)
        return state.durability.withhold_answer(call, reply)
    terms.observe(state, request.term)
    recognise_leader(state, request.route.sender)
    log, previous = state.log, request.prev_log_index
    is_compacted = previous < log.base_index  # committed here, so it is in the leader's log, too
    if not is_compacted and not log.matches(previous, request.prev_log_term):
        hint = log.last_of_term_at_most(request.prev_log_term, min(previous, log.last_index))
        hint = max(hint, log.base_index)
        reply = AppendEntriesReply(
            reply_route,
            state.current_term,
            request.number,
            False,
            hint,
            log.term_at(hint),
        )
        return state.durability.withhold_answer(call, reply)
    _append_missing(state, request)
    proven = min(request.leader_commit, previous + len(request.entries))
    if proven > state.commit_index:
        state.commit(proven)
    reply = AppendEntriesReply(reply_route, state.current_term, request.number, True)
    return state.durability.withhold_answer(call, reply)


def recognise_leader(state: State, sender: NodeId) -> None:
    """Whoever sends AppendEntries or InstallSnapshot of the current term leads it (§5.2, §7)."""
    match state.role:
        case Leader():
            raise InvariantViolated(f'{sender} and {state.id} both lead term {state.current_term}')
        case Follower() as follower:
            follower.leader, follower.heard_at = sender, state.now
            follower.is_excused = False
            follower.election_deadline = state.draw_election_deadline()
        case Detached():
            raise InvariantViolated(f'{state.id} is detached and cannot follow')
        case _:
            terms.become_follower(state, sender, state.now)


def _append_missing(state: State, request: AppendEntries) -> None:
    """Append what is not there yet; truncate only where entries conflict (§5.3).

    A delayed message whose entries are all there removes nothing. What was compacted away
    is committed, so it is the same.
    """
    log = state.log
    index = max(request.prev_log_index, log.base_index)
    entries = request.entries[index - request.prev_log_index :]
    known = min(len(entries), log.last_index - index)
    for position in range(known):
        if log.term_at(index + 1 + position) != entries[position].term:
            known = position
            break
    if known == len(entries):
        return
    if index + known < log.last_index:
        if index + known < state.commit_index:
            raise InvariantViolated(
                f'{request.route.sender} would overwrite entry {index + known + 1}, '
                f'committed up to {state.commit_index}'
            )
        state.truncate(index + known + 1)
    state.append(entries[known:])
