"""What a node does by itself: solo, leave, reset (design §2)."""

import pytest

from consensual.raft.core.events import LeaveRequested, ResetRequested, SoloRequested
from consensual.raft.core.log import NoOp
from consensual.raft.core.messages import Reason, Refused
from consensual.raft.errors import MembershipChangeInProgress, NotMember
from tests.cores import Core, append_entries, follower_core, leader_core


def test_new_node_goes_solo():
    """It is the only member and the leader of a cluster with a new id."""
    core = Core('a')
    core.step(SoloRequested())
    assert (core.role, core.state.current_term) == ('leader', 1)
    assert [voter.id for voter in core.state.configuration.voters] == ['a']
    assert core.state.cluster_id != ''
    assert core.entries[-1].payload == NoOp()
    assert core.state.commit_index == core.state.log.last_index == 2
    assert core.disk.hard_state == core.state.hard_state


def test_member_goes_solo_with_its_history_in_a_higher_term():
    """It leaves whatever cluster it was in; entries and state are kept."""
    core = follower_core([1, 1, 2], term=5)
    history = core.entries
    core.step(SoloRequested())
    assert core.entries[:3] == history
    assert (core.role, core.state.current_term, core.resets) == ('leader', 6, 0)
    assert core.state.cluster_id not in ('', 'cluster')
    assert [index for index, _ in core.applied] == [1, 2, 3, 4, 5]


def test_solo_node_hears_nothing_of_its_former_cluster():
    """The cluster ids differ, whatever the term."""
    core = follower_core([1])
    core.step(SoloRequested())
    reply = core.ask(append_entries(term=99, prev=(1, 1)))
    assert reply == Refused(Reason.CLUSTER, core.state.cluster_id)
    assert core.role == 'leader'


def test_solo_leader_refuses_the_reads_that_waited():
    """Whoever waited for the former leader is told so."""
    core = leader_core([1])
    call = core.read()
    core.step(SoloRequested())
    assert core.answers[call].reason == Reason.NOT_LEADER


def test_two_nodes_that_go_solo_are_two_clusters():
    """Each draws an id of its own."""
    cores = [Core('a'), Core('b')]
    for core in cores:
        core.step(SoloRequested())
    assert cores[0].state.cluster_id != cores[1].state.cluster_id


def test_only_member_leaves_and_keeps_its_history():
    """Its cluster ends with that; it owns no timer any more, also after a restart."""
    core = leader_core([1], voters='a')
    history = core.entries
    core.step(LeaveRequested())
    for node in (core, Core('a', core.disk)):
        assert (node.role, node.deadline, node.entries) == ('detached', None, history)


def test_member_among_others_does_not_leave_by_itself():
    """Leaving a cluster of several takes a committed change."""
    core = leader_core([1])
    with pytest.raises(MembershipChangeInProgress):
        core.step(LeaveRequested())
    assert core.role == 'leader'


def test_detached_node_has_nothing_to_leave():
    """The error says so."""
    with pytest.raises(NotMember):
        Core('a').step(LeaveRequested())


def test_attached_node_is_not_reset():
    """Detach first: others count on what it acknowledged."""
    core = follower_core([1])
    with pytest.raises(MembershipChangeInProgress):
        core.step(ResetRequested())
    assert core.terms == [1]
