"""What goes to a peer beside the pieces of a snapshot (§7)."""

from msgspec.structs import replace

from consensual.raft.core.events import SnapshotTaken
from consensual.raft.core.messages import AppendEntries, InstallSnapshot, Propose
from consensual.raft.core.progress import Flow
from tests.cores import SETTINGS, command, leader_core, reject, route


def test_peer_that_waits_for_a_commit_is_sent_no_more_than_heartbeats():
    """Until the snapshot is there it can be told of no commit: asking it again is of no use."""
    core = leader_core([1] * 9, settings=replace(SETTINGS, snapshot_every=1))
    core.acknowledge_all('b', 'c')
    core.step(SnapshotTaken(core.state.incarnation, core.state.commit_index, b'state', 7))
    progress = core.leader.peers['c']
    progress.probe_from(1)
    progress.match_index = 0
    core.time_out()
    probe = core.drain(AppendEntries, 'c')[-1]
    core.reply(probe, reject(probe, (0, 0)))
    assert progress.flow is Flow.SNAPSHOT
    assert core.drain(InstallSnapshot, 'c')
    core.ask(Propose(route('c', 'a'), [command('x')]))
    core.acknowledge_all('b')
    assert core.state.commit_index == core.state.log.last_index > progress.sent_commit
    sent = core.drain(AppendEntries, 'c')
    for beat in sent:
        core.reply(beat, reject(beat, (0, 0)))
    assert len(sent) <= 1
    assert not core.drain(AppendEntries, 'c')
