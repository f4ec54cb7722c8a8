"""Mutants that the simulator does not kill, each with the reason, and the test that does.

Harmless are those that no whole cluster can show: another line keeps the same rule.
"""

from tests.mutants.mutant import Edit, Mutant
from tests.mutants.snapshots import RARE

HARMLESS = (
    Mutant(
        'own_vote_before_durable',
        Edit(
            'core/election.py',
            '    if state.durability.is_hard_state_durable:',
            '    if True:',
        ),
        'others are asked when term and vote are durable, so no majority comes before; '
        'who is alone reveals its term by no message before its first commit',
        300,
        killed_by=(
            'tests/paper/test_figure_2_servers.py',
            'test_only_voter_elects_itself',
        ),
    ),
    Mutant(
        'sends_before_its_term_is_durable',
        Edit(
            'core/durability.py',
            '        self._requests.append((self._hard_state_barrier, request))',
            '        self._requests.append((0, request))',
        ),
        'only leaders send so, and votes were asked for after the term was durable',
        300,
        killed_by=(
            'tests/core/test_durability.py',
            'test_append_entries_waits_for_a_term_that_is_not_durable',
        ),
    ),
    Mutant(
        'proves_no_more_than_the_leader_sends',
        Edit(
            'core/replication.py',
            '    proven = min(request.leader_commit, previous + len(request.entries))',
            '    proven = min(request.leader_commit, state.log.last_index)',
        ),
        'a leader tells of no commit beyond what it sends with it: the other line of '
        'commits_past_the_matched_entry',
        300,
        killed_by=(
            'tests/paper/test_figure_2_append_entries.py',
            'test_commit_index_never_passes_what_the_message_proved',
        ),
    ),
    Mutant(
        'match_index_goes_back',
        Edit(
            'core/progress.py',
            '        self.match_index = max(self.match_index, index)',
            '        self.match_index = index',
        ),
        'less is counted than is known, until the next heartbeat is answered: later, never wrong',
        300,
        killed_by=(
            'tests/core/test_replication.py',
            'test_old_success_does_not_move_match_index_back',
        ),
    ),
    Mutant(
        'transfers_to_who_lags',
        Edit(
            'core/transfer.py',
            '    elif progress.match_index == state.log.last_index and not transfer.is_sent:',
            '    elif not transfer.is_sent:',
        ),
        'who lags stands and is not elected: a lost election, no lost entry (thesis §3.10)',
        300,
        killed_by=(
            'tests/paper/test_thesis_3_10_transfer.py',
            'test_target_is_brought_up_to_date_first',
        ),
    ),
    Mutant(
        'votes_although_it_hears_a_leader',
        Edit(
            'core/election.py',
            '    if not request.is_transfer and hears_leader(state):',
            '    if False:',
        ),
        'who would be refused asks for no vote, as its pre-votes are refused for the same reason; '
        'reads do not rely on it (thesis §4.2.3, §9.6)',
        300,
        killed_by=(
            'tests/paper/test_thesis_4_2_3_disruption.py',
            'test_voter_that_hears_a_leader_ignores_requests_for_votes',
        ),
    ),
    Mutant(
        'counts_acknowledgements_of_an_earlier_term',
        Edit(
            'core/replication.py',
            '    if not isinstance(leader, Leader) or request.term != state.current_term:',
            '    if not isinstance(leader, Leader):',
        ),
        'a reply is given up after T; leading again within T takes two transfers, '
        'in which no entry is lost',
        300,
        killed_by=(
            'tests/core/test_late_replies.py',
            'test_reply_of_an_earlier_term_is_ignored',
        ),
    ),
)


OUT_OF_REACH = (
    Mutant(
        'keeps_its_term_when_a_pre_vote_is_refused',
        Edit(
            'core/prevote.py',
            '    terms.observe(state, reply.term)',
            '    pass',
        ),
        'a majority deadlocks when it needs a node with the longest log and the lowest term: '
        'its third disk must be lost within the milliseconds of an election',
        2500,
        killed_by=(
            'tests/paper/test_thesis_9_6_pre_vote.py',
            'test_refused_asker_adopts_the_voters_term',
        ),
    ),
    Mutant(
        'confirms_by_the_message_before',
        Edit(
            'core/reads.py',
            '    number = leader.last_number + 1',
            '    number = leader.last_number',
        ),
        'the message before is at most a heartbeat old: within it another one must be elected '
        'and commit, while its acknowledgement, and nothing else, is late',
        300,
        killed_by=(
            'tests/paper/test_thesis_6_4_reads.py',
            'test_read_waits_for_a_quorum_of_a_round_begun_after_it',
        ),
    ),
    Mutant(
        'applies_in_an_unknown_session',
        Edit(
            'core/sessions.py',
            '        if session is None:\n            return None',
            '        if session is None:\n            return Session()',
        ),
        'a session is evicted by the 1024th after it; no life has so many',
        300,
        killed_by=(
            'tests/paper/test_thesis_6_3_sessions.py',
            'test_command_of_an_unknown_session_is_never_applied',
        ),
    ),
    Mutant(
        'answers_another_cluster',
        Edit(
            'core/identity.py',
            '    if state.cluster_id and route.cluster_id != state.cluster_id:',
            '    if False:',
        ),
        'nobody goes solo in the soak, so there is no other cluster',
        300,
        killed_by=(
            'tests/core/test_identity.py',
            'test_refusal_for_identity_carries_no_term_and_changes_nothing',
        ),
    ),
    Mutant(
        'tells_one_of_two_who_wait',
        Edit(
            'driver/clerk.py',
            '        for one in (call, *self._twins_of(call)):',
            '        for one in (call,):',
        ),
        'clients of other processes are not in the soak',
        300,
        killed_by=(
            'tests/api/test_gateway.py',
            'test_two_that_wait_for_one_command_both_get_the_outcome',
        ),
    ),
    *RARE,
)
