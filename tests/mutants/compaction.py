"""Mutants of snapshots: what is dropped from the log for them, and how others get them.

Data only.
"""

from tests.mutants.mutant import Edit, Mutant

SNAPSHOTS = 'core/snapshots.py'
LOG = 'core/log.py'
REPLICATION = 'core/replication.py'
PROGRESS = 'core/progress.py'

CORE_TESTS = 'tests/core/test_snapshots.py'
LOG_TESTS = 'tests/core/test_log.py'
TRANSFER_TESTS = 'tests/core/test_snapshot_transfer.py'

TAKING = (
    Mutant(
        'overtaken_snapshot_is_taken',
        Edit(
            SNAPSHOTS,
            '    if event.incarnation != state.incarnation or event.index <= state.snapshot_index:',
            '    if event.incarnation != state.incarnation:',
        ),
        'an older snapshot replaces no later one (§7)',
        0,
        killed_by=(CORE_TESTS, 'test_snapshot_overtaken_by_a_leaders_is_dropped'),
    ),
    Mutant(
        'keeps_no_tail',
        Edit(
            SNAPSHOTS,
            '        snapshot.index - state.settings.snapshot_every,',
            '        snapshot.index,',
        ),
        'the log keeps a tail for slow followers (design §4)',
        0,
        killed_by=(CORE_TESTS, 'test_tail_is_kept_for_who_is_a_little_behind'),
    ),
    Mutant(
        'log_that_a_transfer_needs_is_dropped',
        Edit(
            SNAPSHOTS,
            '        progress.outgoing.snapshot.index if progress.outgoing else '
            'progress.match_index',
            '        state.log.last_index if progress.outgoing else progress.match_index',
        ),
        'what follows a snapshot on its way is kept until then (design §4)',
        0,
        killed_by=(CORE_TESTS, 'test_log_is_kept_while_a_snapshot_is_sent'),
    ),
    Mutant(
        'log_is_kept_for_who_is_silent',
        Edit(
            SNAPSHOTS,
            '        if not replication.is_away(state, progress)\n    ]',
            '        if True\n    ]',
        ),
        'the log of a cluster with a dead member stays bounded (design §4)',
        0,
        killed_by=(CORE_TESTS, 'test_log_is_not_kept_for_a_peer_that_is_silent'),
    ),
    Mutant(
        'log_is_kept_without_a_bound',
        Edit(
            SNAPSHOTS,
            '    base = min(max(min(tail, needed), bound), snapshot.index',
            '    base = min(min(tail, needed), snapshot.index',
        ),
        'the log kept for others is bounded (design §4)',
        0,
        killed_by=(CORE_TESTS, 'test_log_is_kept_for_others_within_a_bound'),
    ),
    Mutant(
        'compaction_forgets_the_term',
        Edit(LOG, '= [term], [base_index]', '= [0], [base_index]'),
        'the term of the last entry that is covered is kept (§7)',
        0,
        killed_by=(LOG_TESTS, 'test_compaction_forgets_nothing_that_is_left'),
    ),
    Mutant(
        'compaction_drops_one_too_many',
        Edit(
            LOG,
            '        dropped = base_index - self.base_index',
            '        dropped = base_index - self.base_index + 1',
        ),
        'entries behind the base stay (§7)',
        0,
        killed_by=(CORE_TESTS, 'test_tail_is_kept_for_who_is_a_little_behind'),
    ),
    Mutant(
        'compaction_forgets_the_time',
        Edit(
            LOG,
            'self.term_at(base_index), self.time_at(base_index)',
            'self.term_at(base_index), 0.0',
        ),
        "the cluster's clock never goes back (design §2)",
        0,
        killed_by=(LOG_TESTS, 'test_compaction_forgets_nothing_that_is_left'),
    ),
)

SENDING = (
    Mutant(
        'sends_no_snapshots',
        Edit(
            REPLICATION,
            '    if agreed < state.log.base_index and state.snapshot is not None:',
            '    if False:',
        ),
        'who lacks what was dropped is sent a snapshot (§7)',
        0,
        killed_by=(
            'tests/paper/test_7_log_compaction.py',
            'test_leader_sends_a_snapshot_to_who_lacks_what_it_discarded',
        ),
    ),
    Mutant(
        'sends_a_snapshot_to_who_has_the_base',
        Edit(
            REPLICATION,
            '    if agreed < state.log.base_index and state.snapshot is not None:',
            '    if agreed <= state.log.base_index and state.snapshot is not None:',
        ),
        'who has the base is sent entries (§7)',
        0,
        killed_by=(CORE_TESTS, 'test_hint_from_the_base_on_leads_to_entries'),
    ),
    Mutant(
        'each_heartbeat_begins_the_transfer_anew',
        Edit(
            REPLICATION,
            '    if progress.flow is Flow.SNAPSHOT:\n        return None',
            '    if False:\n        return None',
        ),
        'a transfer goes on (design §4)',
        0,
        killed_by=(TRANSFER_TESTS, 'test_rejected_heartbeat_does_not_begin_the_transfer_anew'),
    ),
    Mutant(
        'entries_are_sent_beside_the_pieces',
        Edit(
            REPLICATION,
            '    is_fed = progress.flow is not Flow.SNAPSHOT and _has_room(state, progress)',
            '    is_fed = _has_room(state, progress)',
        ),
        'entries follow the snapshot (§7)',
        0,
        killed_by=(TRANSFER_TESTS, 'test_no_entries_are_sent_beside_the_pieces'),
    ),
    Mutant(
        'late_success_ends_the_transfer',
        Edit(
            PROGRESS,
            '        if self.outgoing is None or self.match_index >= self.outgoing.snapshot.index:',
            '        if True:',
        ),
        'entries flow again when the snapshot is installed (§7)',
        0,
        killed_by=(TRANSFER_TESTS, 'test_late_success_does_not_end_the_transfer'),
    ),
    Mutant(
        'sends_what_is_there_already',
        Edit(
            SNAPSHOTS, '    outgoing.offset = max(outgoing.offset, outgoing.received)', '    pass'
        ),
        'a transfer resumes (design §4)',
        0,
        killed_by=(TRANSFER_TESTS, 'test_transfer_goes_on_from_what_the_peer_has_already'),
    ),
    Mutant(
        'sends_all_pieces_at_once',
        Edit(
            SNAPSHOTS,
            '        while len(outgoing.in_flight) < state.settings.chunks_in_flight and (',
            '        while True and (',
        ),
        'pieces are sent within a window (design §3)',
        0,
        killed_by=(TRANSFER_TESTS, 'test_pieces_are_sent_within_a_window'),
    ),
    Mutant(
        'sends_pieces_to_who_is_silent',
        Edit(
            SNAPSHOTS,
            '        if outgoing is None or outgoing.is_paused or '
            'replication.is_away(state, progress):',
            '        if outgoing is None or outgoing.is_paused:',
        ),
        'a dead peer is sent no more than heartbeats (design §3)',
        0,
        killed_by=(TRANSFER_TESTS, 'test_silent_peer_is_sent_no_pieces'),
    ),
    Mutant(
        'lost_piece_is_sent_again_at_once',
        Edit(
            SNAPSHOTS,
            '        if outgoing is None or outgoing.is_paused or '
            'replication.is_away(state, progress):',
            '        if outgoing is None or replication.is_away(state, progress):',
        ),
        'a lost piece waits for the next heartbeat (design §3)',
        0,
        killed_by=(TRANSFER_TESTS, 'test_lost_piece_is_sent_again_with_the_next_heartbeat'),
    ),
    Mutant(
        'counts_answers_of_an_earlier_transfer',
        Edit(
            SNAPSHOTS,
            '    if outgoing is None or request.number not in outgoing.in_flight:',
            '    if outgoing is None:',
        ),
        'a reply counts once (design §4)',
        0,
        killed_by=(TRANSFER_TESTS, 'test_late_answer_of_an_earlier_transfer_counts_nothing'),
    ),
)
