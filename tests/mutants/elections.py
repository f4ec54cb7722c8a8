"""Mutants of elections, terms and durability: who leads, and what is promised when.

Data only.
"""

from tests.mutants.mutant import Edit, Mutant

ELECTION, TERMS = 'core/election.py', 'core/terms.py'
QUORUM, STATE, DURABILITY = 'core/quorum.py', 'core/state.py', 'core/durability.py'
REPLICATION, ENGINE = 'core/replication.py', 'driver/engine.py'

ELECTIONS = (
    Mutant(
        'votes_twice',
        Edit(
            ELECTION,
            '        or state.voted_for not in (None, candidate)',
            '        or False',
        ),
        'one vote per term (§5.2)',
        100,
    ),
    Mutant(
        'votes_for_an_older_log',
        Edit(
            ELECTION,
            '        or not is_up_to_date(state, request)',
            '        or False',
        ),
        'a vote only for a log that is as up to date (§5.4.1)',
        1000,
    ),
    Mutant(
        'takes_any_log_for_up_to_date',
        Edit(
            ELECTION,
            '    return (request.last_log_term, request.last_log_index) >= (',
            '    return True or (request.last_log_term, request.last_log_index) >= (',
        ),
        'the more complete log wins (§5.4.1)',
        100,
    ),
    Mutant(
        'compares_only_the_lengths_of_logs',
        Edit(
            ELECTION,
            '    return (request.last_log_term, request.last_log_index) >= (',
            '    return (state.log.last_term, request.last_log_index) >= (',
        ),
        'last terms first, then lengths (§5.4.1)',
        300,
    ),
    Mutant(
        'compares_only_the_last_terms_of_logs',
        Edit(
            ELECTION,
            '        state.log.last_index,\n    )',
            '        0,\n    )',
        ),
        'last terms first, then lengths (§5.4.1)',
        100,
    ),
    Mutant(
        'votes_in_an_old_term',
        Edit(
            ELECTION,
            '        request.term < state.current_term',
            '        False',
        ),
        'no vote in an earlier term (§5.1, Figure 2)',
        1500,
    ),
    Mutant(
        'votes_without_adopting_the_term',
        Edit(
            ELECTION,
            '    terms.observe(state, request.term)\n    is_granted',
            '    pass\n    is_granted',
        ),
        'a later term is adopted (§5.1)',
        50,
    ),
    Mutant(
        'half_the_votes_win',
        Edit(
            QUORUM,
            'return all(2 * sum(voter in agreeing for voter in group) > len(group)',
            'return all(2 * sum(voter in agreeing for voter in group) >= len(group)',
        ),
        'a majority elects (§5.2)',
        50,
    ),
    Mutant(
        'counts_one_vote_twice',
        Edit(
            QUORUM,
            'return all(2 * sum(voter in agreeing for voter in group) > len(group)',
            'return all(2 * sum(voter in agreeing for voter in group) + 2 > len(group)',
        ),
        'each voter counts once (§5.2)',
        50,
    ),
    Mutant(
        'any_vote_wins',
        Edit(
            ELECTION,
            '    if has_quorum(state.electorate, candidate.granted):',
            '    if candidate.granted:',
        ),
        'a majority elects (§5.2)',
        50,
    ),
    Mutant(
        'counts_votes_of_an_earlier_term',
        Edit(
            ELECTION,
            '        and request.term == state.current_term == reply.term',
            '        and True',
        ),
        'a vote counts in the term that asked (§5.2)',
        1000,
    ),
    Mutant(
        'counts_votes_that_were_refused',
        Edit(
            ELECTION,
            '        and reply.granted\n    ):',
            '        and True\n    ):',
        ),
        'a refusal is no vote (§5.2)',
        100,
    ),
    Mutant(
        'elects_by_the_committed_configuration',
        Edit(
            ELECTION,
            '    if has_quorum(state.electorate, candidate.granted):',
            '    if has_quorum(state.committed_configured.configuration.electorate, '
            'candidate.granted):',
        ),
        'a configuration is in force when appended (§6)',
        500,
    ),
    Mutant(
        'leads_on_in_a_later_term',
        Edit(
            TERMS,
            '        become_follower(state)',
            '        pass',
        ),
        'a later term makes a follower (§5.1)',
        50,
    ),
    Mutant(
        'heeds_a_leader_of_the_past',
        Edit(
            REPLICATION,
            '    if request.term < state.current_term:',
            '    if False:',
        ),
        'AppendEntries of an earlier term is refused (§5.1, Figure 2)',
        50,
    ),
    Mutant(
        'stays_a_candidate',
        Edit(
            REPLICATION,
            '            terms.become_follower(state, sender, state.now)',
            '            pass',
        ),
        'a candidate follows the leader of its term (§5.2)',
        100,
    ),
    Mutant(
        'stands_without_a_new_term',
        Edit(
            ELECTION,
            '    state.enter_term(state.current_term + 1)',
            '    state.enter_term(state.current_term)',
        ),
        'an election begins a term (§5.2)',
        50,
    ),
    Mutant(
        'leader_appends_no_no_op',
        Edit(
            ELECTION,
            '    replication.append_no_op(state)',
            '    pass',
        ),
        'a new leader appends a no-op (§8)',
        5,
    ),
)

DURABLE = (
    Mutant(
        'vote_is_not_persisted',
        Edit(
            STATE,
            '        self.voted_for = candidate, incarnation\n'
            '        self.durability.hard_state_changed()',
            '        self.voted_for = candidate, incarnation\n        pass',
        ),
        'votedFor is on stable storage before a reply (Figure 2)',
        50,
    ),
    Mutant(
        'term_is_not_persisted',
        Edit(
            STATE,
            '        self.current_term, self.voted_for = term, None\n'
            '        self.durability.hard_state_changed()',
            '        self.current_term, self.voted_for = term, None\n        pass',
        ),
        'currentTerm is on stable storage before a reply (Figure 2)',
        50,
    ),
    Mutant(
        'acknowledges_before_durable',
        Edit(
            DURABILITY,
            '        self._answers.append((self._barrier, call, reply))',
            '        self._answers.append((0, call, reply))',
        ),
        'entries are on stable storage before a reply (Figure 2)',
        50,
    ),
    Mutant(
        'asks_for_votes_before_durable',
        Edit(
            DURABILITY,
            '        self._requests.append((self._barrier, request))',
            '        self._requests.append((0, request))',
        ),
        'term and vote are durable before a request reveals them (design §4)',
        50,
    ),
    Mutant(
        'leader_counts_itself_before_durable',
        Edit(
            'core/commitment.py',
            '            return state.durability.durable_index',
            '            return state.log.last_index',
        ),
        'a leader counts itself when its write is durable (thesis §10.2.1)',
        50,
    ),
    Mutant(
        'one_write_makes_the_next_durable',
        Edit(
            DURABILITY,
            '        self.durable_number = number',
            '        self.durable_number = number + 1',
        ),
        'what is withheld waits for its own write (Figure 2)',
        50,
    ),
    Mutant(
        'truncated_entries_stay_durable',
        Edit(
            DURABILITY,
            '        self.durable_index = min(self.durable_index, first_index - 1)',
            '        pass',
        ),
        'what replaces durable entries is not durable yet (Figure 2)',
        100,
    ),
    Mutant(
        'entries_truncated_within_a_write_get_durable',
        Edit(
            DURABILITY,
            '            self._writing_to = min(self._writing_to, first_index - 1)',
            '            pass',
        ),
        'what replaces entries being written is not durable with them (Figure 2)',
        100,
    ),
    Mutant(
        'truncation_is_not_written',
        Edit(
            DURABILITY,
            '        if self._dirty_from is None or first_index < self._dirty_from:',
            '        if self._dirty_from is None:',
        ),
        'the log on stable storage is the log (Figure 2)',
        200,
    ),
    Mutant(
        'failed_write_is_taken_for_done',
        Edit(
            ENGINE,
            '            raise _storage_error(error) from error',
            '            return True',
        ),
        'after a failed write a node stops (design §4)',
        100,
    ),
    Mutant(
        'write_that_fails_late_is_taken_for_done',
        Edit(
            ENGINE,
            '        error = CancelledError() if writing.cancelled() else writing.exception()',
            '        error = None',
        ),
        'after a failed write a node stops (design §4)',
        200,
    ),
    Mutant(
        'write_begun_is_taken_for_done',
        Edit(
            ENGINE,
            '        if writing is None:\n',
            '        if True:\n',
        ),
        'a write is durable when the storage says so (design §3)',
        50,
    ),
)
