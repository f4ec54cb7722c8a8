"""Mutants of snapshots and of who comes back without its data.

Data only: those that the simulator kills, and those that it has not killed within the stated number
of seeds, with the reason, and the test that does.
"""

from tests.mutants.mutant import Edit, Mutant

SNAPSHOTS, MEMBERSHIP, APPLIER = 'core/snapshots.py', 'core/membership.py', 'driver/applier.py'
INSTALL = '    if state.log.matches(snapshot.index, snapshot.term):'
ADMIT = (
    '    return enter_joint(state, leader, Configuration(voters, (), learners), attachment.request)'
)

COMPACTED = (
    Mutant(
        'conflicting_tail_is_kept',
        Edit(SNAPSHOTS, INSTALL, '    if state.log.last_index >= snapshot.index:'),
        'a log that conflicts with a snapshot is dropped (§7)',
        400,
        killed_by=(
            'tests/paper/test_7_log_compaction.py',
            'test_log_without_the_last_entry_of_the_snapshot_is_discarded',
        ),
    ),
    Mutant(
        'snapshot_is_acknowledged_before_durable',
        Edit(
            SNAPSHOTS,
            'received, is_installed\n    )\n    state.durability.withhold_answer(call, reply)',
            'received, is_installed\n    )\n    state.durability.answer(call, reply)',
        ),
        'nothing is acknowledged before it is durable (design §3, §4)',
        400,
        killed_by=(
            'tests/core/test_snapshot_durability.py',
            'test_installation_is_acknowledged_when_it_is_durable',
        ),
    ),
    Mutant(
        'every_piece_counts_as_the_last',
        Edit(SNAPSHOTS, '    if reply.is_installed:', '    if True:'),
        'a follower matches a snapshot once it has installed it (§7)',
        200,
        killed_by=(
            'tests/core/test_snapshot_transfer.py',
            'test_every_answer_lets_the_next_piece_go',
        ),
    ),
    Mutant(
        'snapshot_with_a_later_configuration',
        Edit(
            SNAPSHOTS,
            'reversed(state.history) if configured.index <= event.index',
            'reversed(state.history) if configured.index',
        ),
        'a snapshot has the latest configuration of what it covers (§7)',
        200,
        killed_by=(
            'tests/paper/test_7_log_compaction.py',
            'test_snapshot_holds_the_configuration_of_its_last_entry',
        ),
    ),
    Mutant(
        'sessions_are_not_restored',
        Edit(
            APPLIER,
            '        self._sessions = image.sessions',
            '        self._sessions = Sessions()',
        ),
        'client sessions are part of a snapshot (thesis §6.3)',
        200,
        killed_by=(
            'tests/api/test_snapshot_transfers.py',
            'test_sessions_survive_a_restart_of_the_whole_cluster',
        ),
    ),
    Mutant(
        'lost_voter_leaves_by_itself',
        Edit(
            MEMBERSHIP,
            ADMIT,
            '    return adopt(state, leader, Configuration(voters, (), learners), '
            'attachment.request)',
        ),
        'a lost voter is replaced by way of C_old,new (§6; design §4, Identity)',
        200,
        killed_by=(
            'tests/core/test_readmission.py',
            'test_lost_incarnation_stays_in_the_denominator_until_the_change_is_committed',
        ),
    ),
    Mutant(
        'undurable_entries_are_compacted',
        Edit(
            SNAPSHOTS,
            '    base = min(max(min(tail, needed), bound), snapshot.index, '
            'state.durability.durable_index)',
            '    base = min(max(min(tail, needed), bound), snapshot.index)',
        ),
        'the log on the disk has no gap (design §4, Storage)',
        400,
        killed_by=(
            'tests/core/test_snapshots.py',
            'test_nothing_is_dropped_that_is_not_durable',
        ),
    ),
)

RARE = (
    Mutant(
        'lost_voter_votes_at_once',
        Edit(
            MEMBERSHIP,
            ADMIT,
            '    return enter_joint(state, leader, Configuration(voters + learners), '
            'attachment.request)',
        ),
        'who comes back without its data is a learner first (design §4): as a voter at once it '
        'keeps the others waiting, and no promise is broken',
        200,
        killed_by=(
            'tests/core/test_readmission.py',
            'test_later_leader_finishes_what_was_begun',
        ),
    ),
    Mutant(
        'matching_tail_is_dropped',
        Edit(SNAPSHOTS, INSTALL, '    if False:'),
        'who has the last entry of a snapshot and is sent it all the same was cut off just then, '
        'and gets what it dropped again with the next heartbeat (§7)',
        200,
        killed_by=(
            'tests/paper/test_7_log_compaction.py',
            'test_what_follows_the_snapshot_in_a_matching_log_is_kept',
        ),
    ),
    Mutant(
        'stale_snapshot_is_installed',
        Edit(SNAPSHOTS, '    if request.last_index > state.commit_index:', '    if True:'),
        'all pieces of it must come twice, once more after the entries behind it (design §4)',
        200,
        killed_by=(
            'tests/paper/test_7_log_compaction.py',
            'test_prefix_of_a_committed_log_changes_nothing',
        ),
    ),
    Mutant(
        'damaged_snapshot_is_installed',
        Edit(SNAPSHOTS, '        if not incoming.is_sound:', '        if False:'),
        'messages are never garbled in a simulated network',
        100,
        killed_by=(
            'tests/core/test_snapshot_pieces.py',
            'test_snapshot_that_is_not_what_it_was_is_asked_for_again',
        ),
    ),
    Mutant(
        'lost_piece_starts_the_transfer_anew',
        Edit(
            'core/pieces.py',
            '            self.offset = self.received',
            '            self.offset = 0',
        ),
        'it costs time and nothing else',
        100,
        killed_by=(
            'tests/core/test_snapshot_transfer.py',
            'test_lost_answer_costs_no_piece',
        ),
    ),
    Mutant(
        'log_that_peers_need_is_dropped',
        Edit(
            SNAPSHOTS,
            '    needed = min(_needed_by_peers(state), default=tail)',
            '    needed = tail',
        ),
        'who is slow is sent one snapshot after another, and comes to the same state',
        100,
        killed_by=(
            'tests/core/test_snapshots.py',
            'test_log_is_kept_for_a_live_peer_that_is_slow',
        ),
    ),
    Mutant(
        'snapshot_of_another_life_is_taken',
        Edit(
            SNAPSHOTS,
            '    if event.incarnation != state.incarnation or event.index <= state.snapshot_index:',
            '    if event.index <= state.snapshot_index:',
        ),
        'a node must be reset while its snapshot is encoded, which takes no time in a simulation',
        100,
        killed_by=('tests/core/test_snapshots.py', 'test_snapshot_of_another_life_is_dropped'),
    ),
    Mutant(
        'lost_voter_is_taken_in_at_any_time',
        Edit(
            MEMBERSHIP,
            '            state, leader, electorate, progress.returned_at',
            '            state, leader, (), progress.returned_at',
        ),
        'a change that cannot be committed stands in the way until the others are back',
        100,
        killed_by=(
            'tests/core/test_readmission.py',
            'test_nobody_is_taken_in_while_the_others_cannot_go_on_alone',
        ),
    ),
)
