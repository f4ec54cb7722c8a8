"""Mutants of what callers see: reads, sessions, and what is applied.

Data only.
"""

from tests.mutants.mutant import Edit, Mutant

READS, COMMITMENT, SESSIONS = 'core/reads.py', 'core/commitment.py', 'core/sessions.py'
READER, CLERK, APPLIER = 'driver/reader.py', 'driver/clerk.py', 'driver/applier.py'

SERVICES = (
    Mutant(
        'reads_without_a_quorum',
        Edit(
            READS,
            '    confirmed = agreed_value(state.electorate, acked_number_of)',
            '    confirmed = leader.last_number + 1',
        ),
        'a quorum confirms the leader before a read (thesis §6.4)',
        100,
    ),
    Mutant(
        'reads_before_the_no_op',
        Edit(
            READS,
            '    if not leader.waiting_reads or not has_committed_in_own_term(state, leader):',
            '    if not leader.waiting_reads:',
        ),
        'a read waits for a commit in the own term (thesis §6.4)',
        100,
    ),
    Mutant(
        'takes_its_term_for_committed',
        Edit(
            COMMITMENT,
            '    return state.commit_index >= leader.first_index',
            '    return True',
        ),
        'a new leader does not know what is committed (§8, thesis §6.4)',
        100,
    ),
    Mutant(
        'an_earlier_round_confirms',
        Edit(
            READS,
            '    number = leader.last_number + 1',
            '    number = 1',
        ),
        "a quorum confirms the read's own round (thesis §6.4)",
        100,
    ),
    Mutant(
        'reads_before_it_is_applied',
        Edit(
            READER,
            '        while self._applying and self._applying[0][0] <= self._applier.applied_index:',
            '        while self._applying:',
        ),
        'a read waits until its index is applied (thesis §6.4)',
        50,
    ),
    Mutant(
        'reads_join_a_round_asked_before',
        Edit(
            READER,
            '        self._gathering[read] = None',
            '        (self._asked or self._gathering)[read] = None',
        ),
        'a read index is asked for after the read came (thesis §6.4)',
        200,
    ),
    Mutant(
        'applies_every_copy',
        Edit(
            APPLIER,
            '            elif (known := session.outcomes.get(payload.sequence)) is not None:',
            '            elif (known := None) is not None:',
        ),
        'a command is applied once (thesis §6.3)',
        50,
    ),
    Mutant(
        'applies_below_the_mark',
        Edit(
            SESSIONS,
            '        return session if command.sequence >= session.lowest else None',
            '        return session',
        ),
        'what its client is done with is never applied (thesis §6.3, design §4)',
        300,
    ),
    Mutant(
        'sessions_open_out_of_order',
        Edit(
            APPLIER,
            '            self._sessions.open(index)',
            '            self._loop.call_later(0.02, self._sessions.open, index)',
        ),
        "the session table follows the log's order (thesis §6.3)",
        50,
    ),
    Mutant(
        'acknowledges_what_is_only_appended',
        Edit(
            CLERK,
            '                if self._queue:\n                    self._engine',
            '                if [self.command_applied(item, Outcome(None)) for item in payloads]:\n'
            '                    self._engine',
        ),
        'success means committed and applied (design §2)',
        50,
    ),
    Mutant(
        'retries_under_a_new_number',
        Edit(
            CLERK,
            '            self._queue = deque(self._pending.values())',
            '            self._backlog.update(dict.fromkeys(self._pending.values()))',
        ),
        'a retry has the same sequence (thesis §6.3)',
        50,
    ),
    Mutant(
        'outcome_is_not_remembered',
        Edit(
            APPLIER,
            '                session.outcomes[payload.sequence] = outcome',
            '                pass',
        ),
        'the table keeps the outcomes (thesis §6.3)',
        50,
    ),
    Mutant(
        'awaited_outcome_is_not_remembered',
        Edit(
            APPLIER,
            '            self._sessions.by_id[command.session]'
            '.outcomes[command.sequence] = outcome',
            '            pass',
        ),
        'the table keeps the outcomes (thesis §6.3)',
        300,
    ),
    Mutant(
        'applies_while_another_is_awaited',
        Edit(
            APPLIER,
            '        if self._drain_task is not None or self._loop is None or not self._backlog:',
            '        if self._loop is None or not self._backlog:',
        ),
        'commands are applied one after another (§5.3, design §2)',
        50,
    ),
    Mutant(
        'applies_again_after_a_stop',
        Edit(
            APPLIER,
            '        skipped = max(0, self.applied_index + 1 - first)',
            '        skipped = 0',
        ),
        'each entry is applied once (§5.3: lastApplied)',
        100,
    ),
    Mutant(
        'reset_keeps_the_state',
        Edit(
            APPLIER,
            '                self._state_machine.reset()',
            '                pass',
        ),
        'a reset erases the state machine (design §2)',
        200,
    ),
)
