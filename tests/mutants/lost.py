"""Mutants of how a member that lost its data is taken in again, and of a past that was compacted.

Data only.
"""

from tests.mutants.mutant import Edit, Mutant

MEMBERSHIP = 'core/membership.py'
IDENTITY = 'core/identity.py'

READMISSION_TESTS = 'tests/core/test_readmission.py'
MEMBER_TESTS = 'tests/core/test_snapshot_membership.py'

LOST = (
    Mutant(
        'lost_incarnation_stays_a_voter',
        Edit(
            MEMBERSHIP,
            '    voters = without(state.configuration, list(attachment.found)).voters',
            '    voters = state.configuration.voters',
        ),
        'who lost its data is a newcomer, a learner first (design §4)',
        0,
        killed_by=(READMISSION_TESTS, 'test_wiped_voter_becomes_a_learner_and_then_a_voter'),
    ),
    Mutant(
        'readmits_nobody',
        Edit(MEMBERSHIP, '            readmit_lost(state, leader)', '            pass'),
        'who lost its data is taken in again (design §4)',
        0,
        killed_by=(READMISSION_TESTS, 'test_wiped_voter_becomes_a_learner_and_then_a_voter'),
    ),
    Mutant(
        'promotes_before_they_caught_up',
        Edit(
            MEMBERSHIP,
            '    late = [item for item in learners if not item.is_caught_up or '
            'item.heard_at <= since]',
            '    late: list[Progress] = []',
        ),
        'learners are promoted when they caught up (thesis §4.2.1)',
        0,
        killed_by=(
            'tests/paper/test_thesis_4_2_learners.py',
            'test_slow_round_is_followed_by_another',
        ),
    ),
    Mutant(
        'readmits_who_was_detached',
        Edit(
            MEMBERSHIP,
            '        if member in voters and replication.is_heard_by_quorum(',
            '        if replication.is_heard_by_quorum(',
        ),
        'who was detached stays out (§6)',
        0,
        killed_by=(READMISSION_TESTS, 'test_whoever_was_detached_meanwhile_is_not_taken_in_again'),
    ),
    Mutant(
        'readmits_by_what_was_heard_before',
        Edit(
            MEMBERSHIP,
            '            state, leader, electorate, progress.returned_at\n',
            '            state, leader, electorate\n',
        ),
        'both majorities were heard since it was lost (design §4)',
        0,
        killed_by=(READMISSION_TESTS, 'test_nobody_is_taken_in_where_a_majority_was_lost'),
    ),
    Mutant(
        'readmits_the_unreachable_again_and_again',
        Edit(
            MEMBERSHIP,
            "        if progress.returned_as in ('', progress.tried_as):",
            "        if progress.returned_as == '':",
        ),
        'who is not reached does not stand in the way of other changes (design §4)',
        0,
        killed_by=(
            READMISSION_TESTS,
            'test_newcomer_with_a_history_stays_out_and_its_owner_is_told',
        ),
    ),
    Mutant(
        'forgets_that_it_may_have_voted',
        Edit(
            MEMBERSHIP,
            '    if was_voter(state) or not state.knows_its_past:',
            '    if was_voter(state):',
        ),
        'who may have been a voter does not empty itself (design §4)',
        0,
        killed_by=(
            MEMBER_TESTS,
            'test_dropped_newcomer_with_a_snapshot_only_asks_and_keeps_its_history',
        ),
    ),
    Mutant(
        'believes_a_configuration_that_was_lost',
        Edit(
            IDENTITY,
            '    if index < log.base_index:\n        is_lost = True',
            '    if index < log.base_index:\n        is_lost = False',
        ),
        'a removed node hears of it (§6)',
        0,
        killed_by=(MEMBER_TESTS, 'test_non_member_with_a_configuration_below_the_base_is_refused'),
    ),
)
