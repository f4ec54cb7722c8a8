"""Mutants of the log: how it is replicated, and what of it is committed when.

Data only.
"""

from tests.mutants.mutant import Edit, Mutant

REPLICATION, COMMITMENT, QUORUM = 'core/replication.py', 'core/commitment.py', 'core/quorum.py'

LOGS = (
    Mutant(
        'no_consistency_check',
        Edit(
            REPLICATION,
            '    if not is_compacted and not log.matches(previous, request.prev_log_term):',
            '    if previous > log.last_index:',
        ),
        'entries follow one that both logs have (§5.3)',
        200,
    ),
    Mutant(
        'always_truncates',
        Edit(
            REPLICATION,
            '    known = min(len(entries), log.last_index - index)',
            '    known = 0',
        ),
        'only conflicting entries are deleted (§5.3, Figure 2)',
        50,
    ),
    Mutant(
        'truncates_one_entry_too_many',
        Edit(
            REPLICATION,
            '        state.truncate(index + known + 1)',
            '        state.truncate(index + known)',
        ),
        'only conflicting entries are deleted; nothing committed is (§5.3)',
        100,
    ),
    Mutant(
        'truncates_what_is_merely_longer',
        Edit(
            REPLICATION,
            '    if known == len(entries):\n        return',
            '    if False:\n        return',
        ),
        'a delayed message removes nothing (§5.3, Figure 2)',
        50,
    ),
    Mutant(
        'overlooks_conflicts',
        Edit(
            REPLICATION,
            '        if log.term_at(index + 1 + position) != entries[position].term:',
            '        if False:',
        ),
        'conflicting entries are overwritten (§5.3)',
        100,
    ),
    Mutant(
        'appends_after_conflicts',
        Edit(
            REPLICATION,
            '        state.truncate(index + known + 1)',
            '        pass',
        ),
        'a conflicting entry is deleted with all that follow (§5.3)',
        100,
    ),
    Mutant(
        'commits_past_the_matched_entry',
        Edit(
            REPLICATION,
            '    proven = min(request.leader_commit, previous + len(request.entries))',
            '    proven = min(request.leader_commit, state.log.last_index)',
        ),
        'no further than the last new entry (Figure 2); two lines keep it, both are broken',
        300,
        also=Edit(
            REPLICATION,
            '    commit = min(state.commit_index, last)',
            '    commit = state.commit_index',
        ),
    ),
    Mutant(
        'commits_what_it_appends',
        Edit(
            REPLICATION,
            '    proven = min(request.leader_commit, previous + len(request.entries))',
            '    proven = previous + len(request.entries)',
        ),
        'a follower commits what its leader committed (§5.3)',
        50,
    ),
    Mutant(
        'match_index_from_next_index',
        Edit(
            REPLICATION,
            '        progress.matched(request.prev_log_index + len(request.entries))',
            '        progress.matched(progress.next_index - 1)',
        ),
        'a reply tells of the entries that it answers (Figure 2)',
        50,
    ),
    Mutant(
        'match_index_from_the_own_log',
        Edit(
            REPLICATION,
            '        progress.matched(request.prev_log_index + len(request.entries))',
            '        progress.matched(state.log.last_index)',
        ),
        'a reply tells of the entries that it answers (Figure 2)',
        50,
    ),
    Mutant(
        'replies_are_never_over',
        Edit(
            REPLICATION,
            '    matched_then = progress.in_flight.pop(request.number, None)',
            '    matched_then = progress.in_flight.get(request.number)',
        ),
        'a reply counts once (design §4)',
        100,
    ),
    Mutant(
        'counts_acknowledgements_that_were_refused',
        Edit(
            REPLICATION,
            '    if reply.success:',
            '    if True:',
        ),
        'a refusal proves no match (§5.3)',
        50,
    ),
    Mutant(
        'never_goes_back_to_agree',
        Edit(
            REPLICATION,
            '    progress.probe_from(agreed + 1)',
            '    progress.probe_from(rejected + 1)',
        ),
        'the leader goes back until the logs agree (§5.3)',
        5,
    ),
    Mutant(
        'no_figure_8_check',
        Edit(
            COMMITMENT,
            '    if index > state.commit_index and state.log.term_at(index) == state.current_term:',
            '    if index > state.commit_index:',
        ),
        'only entries of the current term are committed by counting (§5.4.2, Figure 8)',
        100,
    ),
    Mutant(
        'a_minority_commits',
        Edit(
            QUORUM,
            '    return values[(len(values) - 1) // 2]',
            '    return values[-1]',
        ),
        'a majority commits (§5.3)',
        50,
    ),
    Mutant(
        'half_of_them_commit',
        Edit(
            QUORUM,
            '    return values[(len(values) - 1) // 2]',
            '    return values[len(values) // 2]',
        ),
        'a majority commits (§5.3)',
        50,
    ),
    Mutant(
        'stamps_go_back',
        Edit(
            REPLICATION,
            '    return max(latest, state.clock_stamp + (state.now - state.clock_base))',
            '    return state.clock_stamp + (state.now - state.clock_base)',
        ),
        "the cluster's clock never goes back (design §2)",
        100,
    ),
    Mutant(
        'stamps_by_its_own_clock',
        Edit(
            REPLICATION,
            '    return max(latest, state.clock_stamp + (state.now - state.clock_base))',
            '    return state.now',
        ),
        "the cluster's clock goes on under another leader (design §2)",
        50,
    ),
)
