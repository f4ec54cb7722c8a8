"""The core: events in, effects out; pure and deterministic.

A dispatcher: it holds calls, no rules.
"""

from random import Random  # the type; instances are injected
from typing import Optional

from consensual.raft.core import (
    commitment,
    election,
    identity,
    membership,
    prevote,
    reads,
    replication,
    snapshots,
    solo,
    transfer,
)
from consensual.raft.core.configuration import Address
from consensual.raft.core.effects import Effects, Stored
from consensual.raft.core.events import (
    CallId,
    ConnectionLost,
    Event,
    Failed,
    LeaveRequested,
    Persisted,
    Received,
    Replied,
    ResetRequested,
    SnapshotTaken,
    SoloRequested,
    Woken,
)
from consensual.raft.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    ChangeMembership,
    Inquire,
    InquireReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Propose,
    ReadIndex,
    Reason,
    Refused,
    Reply,
    Request,
    RequestPreVote,
    RequestVote,
    TimeoutNow,
    TransferLeadership,
    VoteReply,
)
from consensual.raft.core.roles import Candidate, Detached, Follower, Leader, PreCandidate
from consensual.raft.core.state import Settings, State
from consensual.raft.errors import InvariantViolated


class Raft:
    """One node's Raft.

    Feed it every event with the instant at which it happens, in seconds of any
    monotonic clock, then carry out `take_effects`. Whoever drives it reads
    `state` and never writes it.

    commit_index: what is known to be committed of the stored log.
    """

    def __init__(
        self,
        address: Address,
        *,
        settings: Settings,
        random: Random,
        stored: Optional[Stored] = None,
        commit_index: int = 0,
        now: float,
    ) -> None:
        self.state = State(
            address,
            settings=settings,
            random=random,
            stored=stored,
            commit_index=commit_index,
            now=now,
        )

    def __repr__(self) -> str:
        return f'Raft({self.state!r})'

    def step(self, event: Event, now: float) -> None:  # noqa: C901 - a table
        """Take in one event. Raises `InvariantViolated` when a rule is broken."""
        state = self.state
        state.now = max(state.now, now)
        match event:
            case Received(call=call, request=request):
                self._receive(call, request)
            case Replied(request=request, reply=reply):
                self._take_reply(request, reply)
            case Failed(request=request):
                self._take_reply(request, None)
            case ConnectionLost(node=node):
                election.stop_waiting(state, node)
            case Persisted(number=number):
                state.durability.persisted(number)
            case Woken():
                self._wake()
            case SnapshotTaken():
                snapshots.take(state, event)
            case SoloRequested():
                solo.go_solo(state)
            case LeaveRequested():
                solo.leave_alone(state)
            case ResetRequested():
                solo.reset(state)

    def take_effects(self, now: float) -> Effects:
        """Settle what the events of a turn amount to, and hand out what is to be done."""
        state = self.state
        state.now = max(state.now, now)
        self._settle()
        effects = state.effects
        effects.write = state.durability.take_write(state.log, state.hard_state, state.snapshot)
        state.durability.release(effects)
        if state.commit_index >= state.first_unemitted:
            effects.first_committed = state.first_unemitted
            effects.committed = state.log.entries(state.first_unemitted, state.commit_index)
            state.first_unemitted = state.commit_index + 1
        effects.deadline = self._deadline()
        state.effects = Effects()
        return effects

    def _settle(self) -> None:
        state = self.state
        if isinstance(state.role, Candidate):
            election.win_by_majority(state, state.role)
        if isinstance(state.role, Leader):
            leader = state.role
            commitment.advance_commit_index(state, leader)
            membership.proceed(state, leader)
            transfer.hand_over(state, leader)
            reads.open_round(state, leader)
            reads.ask_for_confirmation(leader)
        if isinstance(state.role, Leader):
            replication.send_due(state, state.role)
            snapshots.send_pieces(state, state.role)
            reads.release_confirmed(state, state.role)
        elif not isinstance(state.role, Detached):
            membership.notice_removal(state)

    def _wake(self) -> None:
        state = self.state
        match state.role:
            case Leader() as leader if state.now >= leader.heartbeat_deadline:
                if leader.attachment is not None:
                    membership.ask_newcomers(state, leader.attachment)
                replication.beat(state, leader)
            case Follower() | PreCandidate() | Candidate() as role:
                is_due = state.now >= role.election_deadline
                if is_due and not election.excuse_stall(state, role):
                    prevote.time_out(state)

    def _deadline(self) -> Optional[float]:
        match self.state.role:
            case Leader(heartbeat_deadline=deadline):
                return deadline
            case Follower() | PreCandidate() | Candidate() as role:
                return role.election_deadline
        return None

    def _receive(self, call: CallId, request: Request) -> None:  # noqa: C901 - a table
        state = self.state
        if refusal := identity.refuse_stranger(state, request):
            return state.durability.answer(call, refusal)
        match request:
            case AppendEntries():
                if isinstance(state.role, Detached):
                    membership.welcome(state, request)
                replication.follow(state, call, request)
            case InstallSnapshot():
                snapshots.receive(state, call, request)
            case RequestVote():
                election.answer_vote_request(state, call, request)
            case RequestPreVote():
                prevote.answer_pre_vote_request(state, call, request)
            case TimeoutNow():
                transfer.take_over(state, call, request)
            case Inquire():
                membership.answer_inquiry(state, call, request)
            case Propose():
                replication.take_proposals(state, call, request)
            case ReadIndex():
                reads.take_read(state, call, request)
            case ChangeMembership():
                membership.take_change(state, call, request)
            case TransferLeadership():
                transfer.take_transfer_request(state, call, request)

    def _take_reply(self, request: Request, reply: Optional[Reply]) -> None:
        state = self.state
        if not identity.is_of_this_life(state, request):
            return
        match request, reply:
            case AppendEntries(), AppendEntriesReply() | Refused() | None:
                replication.take_reply(state, request, reply)
            case InstallSnapshot(), InstallSnapshotReply() | Refused() | None:
                snapshots.take_reply(state, request, reply)
            case RequestVote() | RequestPreVote(), Refused(reason=Reason.REMOVED):
                membership.be_told_of_removal(state, request)
            case RequestVote(), VoteReply():
                election.take_vote(state, request, reply)
            case RequestPreVote(), VoteReply():
                prevote.take_pre_vote(state, request, reply)
            case Inquire(), InquireReply() | Refused() | None:
                membership.take_inquiry_reply(state, request, reply)
            case TimeoutNow(), _:
                transfer.take_answer(state, request, reply)
            case RequestVote() | RequestPreVote(), Refused() | None:
                pass
            case _:
                raise InvariantViolated(f'{type(reply)} is no reply to {type(request)}')


__all__ = ['Raft', 'Settings']
