"""Mutants of snapshots and of who comes back without its data.

Data only.
"""

from tests.mutants.mutant import Edit, Mutant

SNAPSHOTS, MEMBERSHIP, APPLIER = 'core/snapshots.py', 'core/membership.py', 'driver/applier.py'
INSTALL = '    if state.log.matches(snapshot.index, snapshot.term):'
ADMIT = (
    '    return enter_joint(state, leader, Configuration(voters, (), learners), attachment.request)'
)

COMPACTED = (
    Mutant(
        'matching_tail_is_dropped',
        Edit(SNAPSHOTS, INSTALL, '    if False:'),
        'what follows the last entry of a snapshot is kept (§7)',
        200,
    ),
    Mutant(
        'conflicting_tail_is_kept',
        Edit(SNAPSHOTS, INSTALL, '    if state.log.last_index >= snapshot.index:'),
        'a log that conflicts with a snapshot is dropped (§7)',
        400,
    ),
    Mutant(
        'stale_snapshot_is_installed',
        Edit(
            SNAPSHOTS,
            '    if request.last_index > state.commit_index:',
            '    if True:',
        ),
        'a snapshot of what is committed here already is ignored (design §4)',
        200,
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
    ),
    Mutant(
        'every_piece_counts_as_the_last',
        Edit(SNAPSHOTS, '    if reply.is_installed:', '    if True:'),
        'a follower matches a snapshot once it has installed it (§7)',
        200,
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
    ),
    Mutant(
        'lost_voter_votes_at_once',
        Edit(
            MEMBERSHIP,
            ADMIT,
            '    return enter_joint(state, leader, Configuration(voters + learners), '
            'attachment.request)',
        ),
        'who comes back without its data is a learner first (design §4, Identity)',
        200,
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
    ),
)
