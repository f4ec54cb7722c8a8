"""Mutants of snapshots that are installed, restored and stored.

Data only.
"""

from tests.mutants.mutant import Edit, Mutant

MESSAGES = 'core/messages.py'
PIECES = 'core/pieces.py'
SNAPSHOTS = 'core/snapshots.py'
STATE = 'core/state.py'
REPLICATION = 'core/replication.py'
DURABILITY = 'core/durability.py'
APPLIER = 'driver/applier.py'
SNAPSHOTTER = 'driver/snapshotter.py'
ENGINE = 'driver/engine.py'
DATABASE = '../storage/sqlite_database.py'
EXTENT = '../storage/extent.py'
FILE = '../storage/sqlite_file.py'

PIECE_TESTS = 'tests/core/test_snapshot_pieces.py'
PAPER = 'tests/paper/test_7_log_compaction.py'
DURABILITY_TESTS = 'tests/core/test_snapshot_durability.py'
TRANSFER_TESTS = 'tests/api/test_snapshot_transfers.py'
RESTORING_TESTS = 'tests/api/test_restoring.py'
BETWEEN_TESTS = 'tests/api/test_between_commands.py'
TAKING_TESTS = 'tests/api/test_snapshots.py'
STORAGE_TESTS = 'tests/storage/test_sqlite_snapshots.py'
DAMAGE_TESTS = 'tests/storage/test_sqlite_damage.py'

INSTALLING = (
    Mutant(
        'damaged_piece_is_taken',
        Edit(MESSAGES, '    if crc32(request.data) != request.data_checksum:', '    if False:'),
        'pieces are checked (design §4)',
        0,
        killed_by=(PIECE_TESTS, 'test_damaged_piece_does_not_validate'),
    ),
    Mutant(
        'early_piece_is_taken_for_the_next',
        Edit(
            PIECES,
            '            self._early[request.offset] = request.data',
            '            self._early[self.received] = request.data',
        ),
        'pieces are put together in their order (§7, Figure 13)',
        0,
        killed_by=(PIECE_TESTS, 'test_pieces_may_overtake_each_other'),
    ),
    Mutant(
        'snapshot_of_an_old_term_is_installed',
        Edit(
            SNAPSHOTS,
            '    if request.term < state.current_term:\n        return _answer(',
            '    if False:\n        return _answer(',
        ),
        'InstallSnapshot of an earlier term is refused (Figure 13)',
        0,
        killed_by=(PAPER, 'test_snapshot_of_an_old_term_is_refused_with_the_current_one'),
    ),
    Mutant(
        'sender_of_a_snapshot_is_not_heard',
        Edit(
            SNAPSHOTS,
            '    replication.recognise_leader(state, request.route.sender)\n    received',
            '    pass\n    received',
        ),
        'who sends pieces leads (§5.2, §7)',
        0,
        killed_by=(PAPER, 'test_sender_of_a_snapshot_is_the_leader'),
    ),
    Mutant(
        'late_piece_begins_an_earlier_snapshot',
        Edit(
            SNAPSHOTS,
            '        if incoming is not None and incoming.is_newer(request):',
            '        if False:',
        ),
        'a late piece of an earlier snapshot takes nothing away (design §4)',
        0,
        killed_by=(PIECE_TESTS, 'test_stale_snapshot_takes_nothing_away'),
    ),
    Mutant(
        'later_leader_begins_anew',
        Edit(
            SNAPSHOTS,
            '    if incoming is None or not incoming.is_of(request):',
            '    if incoming is None or incoming.term != request.term or not '
            'incoming.is_of(request):',
        ),
        'a later leader goes on with the same snapshot (design §4)',
        0,
        killed_by=(PIECE_TESTS, 'test_later_leader_goes_on_with_the_same_snapshot'),
    ),
    Mutant(
        'pieces_of_two_snapshots_are_mixed',
        Edit(
            PIECES,
            '        return _identity(request) == _identity(self.first)',
            '        return True',
        ),
        'another snapshot begins anew (Figure 13)',
        0,
        killed_by=(PAPER, 'test_first_piece_of_another_snapshot_begins_anew'),
    ),
    Mutant(
        'installs_without_restoring',
        Edit(
            STATE,
            '        self.snapshot = self.effects.restore = snapshot\n        self.log.replace',
            '        self.snapshot = snapshot\n        self.log.replace',
        ),
        "the state machine is reset to the snapshot's state (Figure 13)",
        0,
        killed_by=(PAPER, 'test_state_is_reset_to_the_snapshots'),
    ),
    Mutant(
        'configuration_of_the_snapshot_is_not_used',
        Edit(
            STATE,
            '        self.history = [*earlier, configured] if configured.index else [_NOBODY]',
            '        self.history = earlier or [_NOBODY]',
        ),
        "the snapshot's configuration is in force (§7, Figure 13)",
        0,
        killed_by=(PAPER, 'test_configuration_of_the_snapshot_is_in_force'),
    ),
    Mutant(
        'half_a_snapshot_stays',
        Edit(
            STATE,
            '        if self.incoming is not None and self.incoming.first.last_index <= index:',
            '        if False:',
        ),
        'pieces that are not needed any more are dropped (§7)',
        0,
        killed_by=(DURABILITY_TESTS, 'test_half_a_snapshot_is_dropped_once_the_log_has_caught_up'),
    ),
    Mutant(
        'snapshot_outlives_a_reset',
        Edit(
            STATE,
            '        self.snapshot = self.incoming = self.effects.restore = None',
            '        self.incoming = self.effects.restore = None',
        ),
        'a reset erases the snapshot (design §2)',
        0,
        killed_by=(DURABILITY_TESTS, 'test_reset_erases_the_snapshot'),
    ),
    Mutant(
        'entries_below_the_base_are_denied',
        Edit(
            REPLICATION, '    is_compacted = previous < log.base_index', '    is_compacted = False'
        ),
        'what was compacted away is committed, so it is the same (§7)',
        0,
        killed_by=(
            'tests/core/test_snapshots.py',
            'test_entries_that_begin_below_the_base_are_those_that_are_covered',
        ),
    ),
    Mutant(
        'snapshot_is_not_written',
        Edit(
            DURABILITY,
            '            new_snapshot, log_start = snapshot, log.first_index',
            '            new_snapshot, log_start = None, log.first_index',
        ),
        'a snapshot and what it replaces are one write (design §4)',
        0,
        killed_by=(DURABILITY_TESTS, 'test_installation_is_one_write'),
    ),
    Mutant(
        'log_is_not_dropped_from_the_disk',
        Edit(
            DURABILITY,
            '            new_snapshot, log_start = snapshot, log.first_index',
            '            new_snapshot, log_start = snapshot, None',
        ),
        'a snapshot and what it replaces are one write (design §4)',
        0,
        killed_by=(DURABILITY_TESTS, 'test_installation_is_one_write'),
    ),
    Mutant(
        'durable_entries_are_forgotten',
        Edit(
            DURABILITY,
            '        durable_index = min(self.durable_index, committed)',
            '        durable_index = 0',
        ),
        'what was durable before an installation still is (Figure 2)',
        0,
        killed_by=(DURABILITY_TESTS, 'test_what_was_durable_before_an_installation_still_is'),
    ),
    Mutant(
        'snapshot_waits_for_the_next_entry',
        Edit(
            DURABILITY,
            'or self._dirty_from is not None or self._snapshot_changed',
            'or self._dirty_from is not None',
        ),
        'a snapshot is written when it is taken (§7)',
        0,
        killed_by=(PAPER, 'test_snapshot_takes_the_place_of_the_log_and_of_any_earlier_snapshot'),
    ),
)

RESTORING = (
    Mutant(
        'snapshot_without_sessions',
        Edit(
            APPLIER,
            '        return Capture(self.applied_index, state, store(self._sessions.by_id))',
            '        return Capture(self.applied_index, state, [])',
        ),
        'a snapshot has the client sessions (§7, thesis §6.3)',
        0,
        killed_by=(TRANSFER_TESTS, 'test_sessions_survive_a_restart_of_the_whole_cluster'),
    ),
    Mutant(
        'callers_hear_nothing_of_a_snapshot',
        Edit(APPLIER, '        self.listener.was_restored(self._sessions.by_id)', '        pass'),
        'a caller gets the result that a snapshot brought (thesis §6.3)',
        0,
        killed_by=(TRANSFER_TESTS, 'test_caller_gets_the_result_of_what_a_snapshot_brought'),
    ),
    Mutant(
        'snapshot_is_not_restored_at_start',
        Edit(STATE, '            self.effects.restore = self.snapshot', '            pass'),
        'the snapshot is restored at start (§7)',
        0,
        killed_by=(PAPER, 'test_server_restarts_from_its_snapshot_and_the_log_behind_it'),
    ),
    Mutant(
        'restores_what_is_older',
        Edit(
            APPLIER,
            '        if snapshot.index <= self.applied_index:\n            return\n  '
            '      self._give_up',
            '        if False:\n            return\n        self._give_up',
        ),
        'nothing that was applied is undone (§7)',
        0,
        killed_by=(RESTORING_TESTS, 'test_same_node_keeps_its_state_when_it_is_started_again'),
    ),
    Mutant(
        'restores_within_a_command',
        Edit(
            APPLIER,
            '        if not self._is_awaiting:\n            self._begin_to_restore()',
            '        if True:\n            self._begin_to_restore()',
        ),
        'no command is half applied (design §2)',
        0,
        killed_by=(BETWEEN_TESTS, 'test_state_is_emptied_and_restored_after_the_command_under_way'),
    ),
    Mutant(
        'captures_within_a_command',
        Edit(
            APPLIER,
            '        if self._is_awaiting or self.is_restoring:\n            self._between',
            '        if self.is_restoring:\n            self._between',
        ),
        'a snapshot has no half of a command (design §2)',
        0,
        killed_by=(TAKING_TESTS, 'test_snapshot_waits_for_the_processor_that_runs'),
    ),
    Mutant(
        'applies_while_it_restores',
        Edit(
            APPLIER,
            '        if self.is_restoring:\n            return\n        token',
            '        if False:\n            return\n        token',
        ),
        'what follows a snapshot is applied to its state (§7)',
        0,
        killed_by=(BETWEEN_TESTS, 'test_loop_is_not_kept_busy_while_a_snapshot_is_decoded'),
    ),
    Mutant(
        'shows_the_state_before_the_snapshot',
        Edit(
            APPLIER,
            '        if snapshot.index > self.applied_index:\n            self._restoring',
            '        if False:\n            self._restoring',
        ),
        'nobody sees a state that is about to be replaced (design §4)',
        0,
        killed_by=(RESTORING_TESTS, 'test_local_query_at_the_very_start_sees_the_snapshot'),
    ),
    Mutant(
        'forgets_where_the_snapshot_ends',
        Edit(APPLIER, '        self.applied_index = snapshot.index\n', '        pass\n'),
        'each entry is applied once (§5.3: lastApplied)',
        0,
        killed_by=(RESTORING_TESTS, 'test_only_the_snapshot_is_restored_at_start'),
    ),
    Mutant(
        'take_snapshot_returns_before_it_is_durable',
        Edit(SNAPSHOTTER, '        await self._engine.until_durable()', '        pass'),
        'take_snapshot returns when it is durable (design §2)',
        0,
        killed_by=(TAKING_TESTS, 'test_snapshot_is_durable_when_take_snapshot_returns'),
    ),
    Mutant(
        'snapshot_is_not_staged',
        Edit(ENGINE, '            await storage.stage(data)', '            pass'),
        'the disk is written in pieces, writes between them (design §3)',
        0,
        killed_by=(
            'tests/api/test_staging.py',
            'test_data_are_staged_before_the_write_that_brings_them',
        ),
    ),
    Mutant(
        'half_staged_data_count',
        Edit(
            DATABASE,
            '        if staged is not None and staged.data is snapshot.data and '
            'staged.is_complete:',
            '        if staged is not None and staged.data is snapshot.data:',
        ),
        'a snapshot is there as a whole (design §4)',
        0,
        killed_by=(STORAGE_TESTS, 'test_staging_that_was_given_up_is_made_up_for'),
    ),
    Mutant(
        'any_staged_data_count',
        Edit(
            DATABASE,
            '        if staged is not None and staged.data is snapshot.data and '
            'staged.is_complete:',
            '        if staged is not None and staged.is_complete:',
        ),
        'a snapshot is the one that was written (design §4)',
        0,
        killed_by=(STORAGE_TESTS, 'test_snapshot_may_be_another_one_than_was_staged'),
    ),
    Mutant(
        'earlier_pieces_stay',
        Edit(
            DATABASE,
            '        cursor.execute(records.DELETE_TWO_OTHER_PIECES, (staged.pieces.start,))',
            '        pass',
        ),
        'the file stays bounded (design §4)',
        0,
        killed_by=(STORAGE_TESTS, 'test_earlier_snapshots_are_dropped_as_others_come'),
    ),
    Mutant(
        'stored_snapshot_outlives_a_reset',
        Edit(
            EXTENT,
            '        write.snapshot is None\n        and write',
            '        False\n        and write',
        ),
        'a reset erases the snapshot (design §2)',
        0,
        killed_by=(STORAGE_TESTS, 'test_reset_drops_the_data'),
    ),
    Mutant(
        'stored_checksums_are_not_checked',
        Edit(FILE, '            if not records.is_sound(row):', '            if False:'),
        'a record that fails its checksum is refused (design §4)',
        0,
        killed_by=(DAMAGE_TESTS, 'test_change_of_any_column_is_found'),
    ),
    Mutant(
        'gap_between_snapshot_and_log_is_accepted',
        Edit(FILE, '        if snapshot.index < first_index - 1:', '        if False:'),
        'a storage with a gap is refused (design §4)',
        0,
        killed_by=(DAMAGE_TESTS, 'test_gap_between_snapshot_and_log_is_found'),
    ),
)
