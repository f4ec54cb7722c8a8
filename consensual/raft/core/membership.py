"""Cluster membership: learners, joint consensus, and being removed (§6, thesis §4.2).

Quorums of a configuration are `quorum`; who may speak to whom is `identity`.
"""

from typing import Optional

from consensual.raft.core import replication, terms, transfer
from consensual.raft.core.commitment import has_committed_in_own_term
from consensual.raft.core.configuration import (
    Address,
    Configuration,
    Incarnation,
    Member,
    NodeId,
)
from consensual.raft.core.effects import INFO
from consensual.raft.core.events import CallId
from consensual.raft.core.identity import (
    configuration_position,
    is_empty,
    is_member,
    was_voter,
)
from consensual.raft.core.log import Reconfiguration
from consensual.raft.core.messages import (
    Accepted,
    AppendEntries,
    ChangeMembership,
    Inquire,
    InquireReply,
    Reason,
    Refused,
    RequestPreVote,
    RequestVote,
    Route,
)
from consensual.raft.core.progress import Progress, Round
from consensual.raft.core.roles import Attachment, Follower, Leader
from consensual.raft.core.state import State
from consensual.raft.errors import (
    AlreadyMember,
    InvalidAddress,
    InvalidParameters,
    MembershipChangeInProgress,
    NodeNotEmpty,
    NodeUnreachable,
    NotMember,
)

FAILURE_LIMIT = 64
"""Attachments that failed lately, whose callers may still ask why."""

# Asking for a change.


def take_change(state: State, call: CallId, request: ChangeMembership) -> None:
    """Begin a change, computed from the leader's own configuration; one at a time (§6)."""
    leader = state.role
    if not isinstance(leader, Leader):
        return terms.refuse_as_not_leader(state, call)
    if not request.request or bool(request.attach) == bool(request.detach):
        return state.durability.answer(
            call, _refused(InvalidParameters, 'name the nodes to attach or those to detach')
        )
    if is_under_way(state, leader, request.request):
        return state.durability.answer(call, Accepted(request.route.back()))
    refusal = refuse_change(state, leader, request)
    if refusal is not None:
        return state.durability.answer(call, refusal)
    if request.attach:
        leader.attachment = Attachment(
            request.request, request.attach, state.now + 2 * state.settings.election_timeout
        )
        ask_newcomers(state, leader.attachment)
    else:
        enter_joint(state, leader, without(state.configuration, request.detach), request.request)
    return state.durability.answer(call, Accepted(request.route.back()))


def is_under_way(state: State, leader: Leader, request: str) -> bool:
    """The change was begun, here or by an earlier leader; the log tells its outcome."""
    if leader.attachment is not None and leader.attachment.request == request:
        return True
    return any(configured.change.request == request for configured in state.history)


def refuse_change(state: State, leader: Leader, request: ChangeMembership) -> Optional[Refused]:
    """Return why the change cannot begin, or None."""
    if request.request in leader.failures:
        return Refused(*leader.failures[request.request])
    if not is_member(state, request.route):
        return Refused(Reason.REMOVED)
    is_leaving = leader.transfer is not None or leader.retire_deadline is not None
    if is_leaving or not has_committed_in_own_term(state, leader):
        return Refused(Reason.BUSY)
    if is_changing(state, leader):
        return _refused(
            MembershipChangeInProgress,
            f'the membership is being changed already, as {state.id} knows; '
            'wait for that change to end',
        )
    if request.attach:
        return _refuse_attachment(state, request)
    return _refuse_detachment(state, leader, request)


def is_changing(state: State, leader: Leader) -> bool:
    """A change is under way until its last configuration is committed (§6)."""
    return (
        leader.attachment is not None
        or not state.configuration.is_stable
        or state.configured.index > state.commit_index
    )


def _refuse_attachment(state: State, request: ChangeMembership) -> Optional[Refused]:
    for address in request.attach:
        if state.configuration.find(address.id) is not None:
            return _refused(AlreadyMember, f'{address.id} is a member of the cluster already')
    return None


def _refuse_detachment(
    state: State, leader: Leader, request: ChangeMembership
) -> Optional[Refused]:
    for node_id in request.detach:
        if state.configuration.find(node_id) is None:
            return _refused(NotMember, f'{node_id} is no member of the cluster')
    if not without(state.configuration, request.detach).voters:
        return _refused(
            InvalidParameters,
            'a cluster cannot lose all its members at once; '
            'the last one leaves by its own detach()',
        )
    remaining = without(state.configuration, request.detach)
    if not replication.is_heard_by_quorum(state, leader, remaining.electorate):
        return _refused(
            NodeUnreachable,
            'the remaining members could not go on: less than a majority of them answers; '
            'detach the dead ones first',
        )
    return None


def _refused(error: type[Exception], text: str) -> Refused:
    return Refused(error.__name__, text)


def without(configuration: Configuration, node_ids: list[str]) -> Configuration:
    """Return the stable configuration less those members."""
    return Configuration(
        tuple(member for member in configuration.voters if member.id not in node_ids)
    )


def contacts_key(state: State) -> object:
    """Return something that differs when `contacts` do; it costs less to make."""
    leader = state.role
    if isinstance(leader, Leader):
        return state.configured, state.committed_configured, leader.attachment, *leader.peers
    return state.configured, state.committed_configured, state.is_attached


def contacts(state: State) -> dict[NodeId, str]:
    """Return the URLs of everyone this node may have to speak to.

    Newcomers being asked and removed nodes being told are among them.
    """
    if not state.is_attached:
        return {}
    known = {
        member.id: member.url
        for configured in (state.committed_configured, state.configured)
        for member in configured.configuration.members
    }
    if isinstance(state.role, Leader):
        known |= {peer.member.id: peer.member.url for peer in state.role.peers.values()}
        if state.role.attachment is not None:
            addresses = state.role.attachment.addresses.values()
            known |= {address.id: address.url for address in addresses}
    return known


# Newcomers, before they are in the log.


def ask_newcomers(state: State, attachment: Attachment) -> None:
    """Ask each newcomer for its incarnation and whether it is empty."""
    for node_id in attachment.addresses:
        if node_id in attachment.asked or node_id in attachment.found:
            continue
        attachment.asked.add(node_id)
        route = Route(state.cluster_id, state.id, state.incarnation, node_id, '')
        spent = last_incarnation(state, node_id)
        state.durability.send_in_parallel(Inquire(route, attachment.request, spent))


def last_incarnation(state: State, node_id: NodeId) -> Incarnation:
    """Return under which incarnation the node was in the cluster last, if ever."""
    members = (
        member
        for configured in reversed(state.history)
        for member in configured.configuration.members
        if member.id == node_id
    )
    last = next(members, None)
    return last.incarnation if last is not None else ''


def answer_inquiry(state: State, call: CallId, request: Inquire) -> None:
    """Tell who this node is, and whether a history forbids it to join."""
    if is_empty(state) and request.spent == state.incarnation:
        state.forget_identity()
    route = request.route
    back = Route(
        route.cluster_id, state.id, state.incarnation, route.sender, route.sender_incarnation
    )
    reply = InquireReply(back, is_empty(state), state.cluster_id)
    state.durability.withhold_answer(call, reply)


def take_inquiry_reply(
    state: State, request: Inquire, reply: InquireReply | Refused | None
) -> None:
    """Note who the newcomer is; None is a failed call, which is repeated in a while."""
    leader, node_id = state.role, request.route.receiver
    if not isinstance(leader, Leader) or request.route.cluster_id != state.cluster_id:
        return
    attachment = leader.attachment
    if (
        attachment is None
        or attachment.request != request.request
        or node_id not in attachment.asked
    ):
        return
    attachment.asked.discard(node_id)
    address = attachment.addresses[node_id]
    if isinstance(reply, InquireReply) and reply.is_empty:
        attachment.found[node_id] = Member(node_id, address.url, reply.route.sender_incarnation)
    elif isinstance(reply, InquireReply):
        owner = 'this very cluster' if reply.cluster_id == state.cluster_id else 'another cluster'
        fail_attachment(
            state,
            leader,
            NodeNotEmpty,
            f'{node_id} has a history, of {owner}: reset it first '
            '(detach() on a detached node resets it)',
        )
    elif isinstance(reply, Refused) and reply.reason == Reason.MISROUTED:
        fail_attachment(
            state,
            leader,
            InvalidAddress,
            f'the node at {address.url} calls itself {reply.detail}: attach it by that name',
        )


def fail_attachment(state: State, leader: Leader, error: type[Exception], text: str) -> None:
    """Give the attachment up before it changed anything; who asks again is told why."""
    if leader.attachment is not None:
        if leader.attachment.is_own:
            state.warn(f'{leader.attachment.request} is not taken in: {text}')
        leader.failures[leader.attachment.request] = error.__name__, text
        if len(leader.failures) > FAILURE_LIMIT:
            del leader.failures[next(iter(leader.failures))]
        leader.attachment = None


# The leader drives every change to its end, also one that another leader began.


def proceed(state: State, leader: Leader) -> None:
    """Take the next step of the change under way, if its time has come."""
    if leader.attachment is not None:
        admit_newcomers(state, leader, leader.attachment)
    if state.configured.index > state.commit_index or not has_committed_in_own_term(state, leader):
        return
    configuration = state.configuration
    if configuration.is_joint:
        leave_joint(state, leader)
    elif configuration.learners:
        promote_or_drop(state, leader)
    else:
        forget_told_peers(state, leader)
        if state.me not in configuration.voters:
            transfer.retire(state, leader)
        elif leader.attachment is None and leader.transfer is None:
            readmit_lost(state, leader)


def admit_newcomers(state: State, leader: Leader, attachment: Attachment) -> None:
    """Newcomers are learners first: they receive the log and decide nothing (thesis §4.2.1)."""
    if missing := attachment.addresses.keys() - attachment.found.keys():
        if state.now >= attachment.deadline:
            names = ', '.join(sorted(missing))
            text = f'{names} cannot be reached; the cluster is unchanged'
            fail_attachment(state, leader, NodeUnreachable, text)
            for node_id in missing & leader.peers.keys():
                leader.peers[node_id].tried_as = ''
        return None
    leader.attachment = None
    learners = tuple(attachment.found.values())
    voters = without(state.configuration, list(attachment.found)).voters
    if voters == state.configuration.voters:
        return adopt(state, leader, Configuration(voters, (), learners), attachment.request)
    return enter_joint(state, leader, Configuration(voters, (), learners), attachment.request)


def readmit_lost(state: State, leader: Leader) -> None:
    """A voter that came back without its data is taken in again, as a newcomer (design §4).

    One joint change makes the lost incarnation a learner of the new one; until it is
    committed the lost one stays in the majority's denominator, silent. So both majorities
    must have been heard since it was lost, or it could never be committed. Who is not
    reached then is not asked again before it shows itself again.
    """
    for progress in leader.peers.values():
        member = progress.member
        if progress.returned_as in ('', progress.tried_as):
            continue
        voters = state.configuration.voters
        electorate = without(state.configuration, [member.id]).voters, voters
        if member in voters and replication.is_heard_by_quorum(
            state, leader, electorate, progress.returned_at
        ):
            progress.tried_as, progress.returned_as = progress.returned_as, ''
            deadline = state.now + 2 * state.settings.election_timeout
            request = f'{member.id} again, as {progress.tried_as}'
            address = Address(member.id, member.url)
            leader.attachment = Attachment(request, [address], deadline, is_own=True)
            return ask_newcomers(state, leader.attachment)


def promote_or_drop(state: State, leader: Leader) -> None:
    """Learners that caught up become voters, all at once; others are dropped in time.

    They have caught up when a round of replication took less than an election
    timeout (thesis §4.2.1).
    """
    learners = [leader.peers[member.id] for member in state.configuration.learners]
    for progress in learners:
        _end_round(state, progress)
    request = state.configured.change.request
    since = state.now - state.settings.election_timeout
    late = [item for item in learners if not item.is_caught_up or item.heard_at <= since]
    if not late:
        voters = state.configuration.voters + state.configuration.learners
        enter_joint(state, leader, Configuration(voters), request)
    elif leader.learners_deadline is not None and state.now >= leader.learners_deadline:
        names = ', '.join(item.member.id for item in late)
        adopt(
            state,
            leader,
            Configuration(state.configuration.voters),
            request,
            f'{names} did not catch up within {state.settings.attach_timeout:g} s '
            'and was dropped; attach it again',
        )


def _end_round(state: State, progress: Progress) -> None:
    if progress.round is None or progress.match_index < progress.round.target:
        return
    if state.now - progress.round.began_at < state.settings.election_timeout:
        progress.is_caught_up = True
    progress.round = Round(state.log.last_index, state.now)


def enter_joint(state: State, leader: Leader, configuration: Configuration, request: str) -> None:
    """Append C_old,new: from now on both majorities decide (§6)."""
    joint = Configuration(configuration.voters, state.configuration.voters, configuration.learners)
    adopt(state, leader, joint, request)


def leave_joint(state: State, leader: Leader) -> None:
    """Once C_old,new is committed, append C_new, which nobody has to ask for (§6)."""
    adopt(
        state,
        leader,
        Configuration(state.configuration.voters, (), state.configuration.learners),
        state.configured.change.request,
    )


def adopt(
    state: State, leader: Leader, configuration: Configuration, request: str, failure: str = ''
) -> None:
    """Append a configuration; it is in force at once, committed or not (§6)."""
    replication.append_own(state, [Reconfiguration(configuration, request, failure)])
    replication.follow_configuration(state, leader)
    for progress in leader.peers.values():
        progress.awaited_commit = state.configured.index
    state.notice(INFO, f'{state.id} appended {_describe(configuration)}')


def _describe(configuration: Configuration) -> str:
    def names(members: tuple[Member, ...]) -> str:
        return ', '.join(member.id for member in members)

    text = f'the configuration of voters {names(configuration.voters)}'
    if configuration.outgoing:
        text += f', joint with {names(configuration.outgoing)}'
    if configuration.learners:
        text += f', learners {names(configuration.learners)}'
    return text


def forget_told_peers(state: State, leader: Leader) -> None:
    """A removed peer is kept until it knows, or is silent; it can ask later."""
    silent_since = state.now - 2 * state.settings.election_timeout
    for progress in list(leader.peers.values()):
        if progress.leaves_at is not None and (
            progress.told_commit >= progress.leaves_at or progress.heard_at < silent_since
        ):
            del leader.peers[progress.member.id]


# The other end: joining and being removed.


def welcome(state: State, request: AppendEntries) -> None:
    """An empty node joins the cluster whose leader knows it by its incarnation."""
    state.cluster_id = request.route.cluster_id
    state.is_attached = True
    state.durability.hard_state_changed()
    state.role = Follower(state.draw_election_deadline(), state.now)


def notice_removal(state: State) -> None:
    """A node that was a member, and is none in a committed configuration, leaves.

    An incarnation never comes back, so an older configuration cannot mislead;
    those from before a newcomer's time never named it.
    """
    committed = state.committed_configured
    if committed is state.heeded:
        return
    state.heeded = committed
    if state.me in committed.configuration.members:
        return
    if any(
        state.me in configured.configuration.members
        for configured in state.history
        if configured.index < committed.index
    ):
        leave(state)


def be_told_of_removal(state: State, request: RequestVote | RequestPreVote) -> None:
    """A voter with a newer committed configuration says that this node is in it no more."""
    position = request.configuration_term, request.configuration_index
    if (
        state.is_attached
        and request.route.cluster_id == state.cluster_id
        and request.route.sender_incarnation == state.incarnation
        and position == configuration_position(state)
    ):
        leave(state)


def leave(state: State) -> None:
    """Become detached: a member keeps its history, a newcomer that failed empties itself.

    So does not who may have been a voter, as far as is known here.
    """
    state.notice(INFO, f'{state.id} was removed from the cluster')
    if was_voter(state) or not state.knows_its_past:
        return terms.become_detached(state)
    return state.reset()
