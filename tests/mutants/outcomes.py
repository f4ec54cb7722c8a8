"""Mutants of what is told of an outcome, which the tests kill by themselves."""

from tests.mutants.mutant import Edit, Mutant

CHANGES, CLERK, READER = 'driver/changes.py', 'driver/clerk.py', 'driver/reader.py'
TEST = 'tests/api/test_outcomes.py'

OUTCOMES = (
    Mutant(
        'command_goes_on_in_another_cluster',
        Edit(
            CLERK,
            '            if any(call.cluster_id != state.cluster_id for call in self._calls):',
            '            if False:',
        ),
        'old and new cluster never mix (design §4)',
        0,
        killed_by=(
            TEST,
            'test_command_for_a_cluster_is_not_done_by_another_one_that_its_node_founds',
        ),
    ),
    Mutant(
        'read_goes_on_in_another_cluster',
        Edit(
            READER,
            '            if any(read.cluster_id != state.cluster_id for read in self._reads):',
            '            if False:',
        ),
        'a linearizable read is of the cluster that was asked (design §4)',
        0,
        killed_by=(
            TEST,
            'test_linearizable_read_of_a_cluster_is_not_answered_from_another_one',
        ),
    ),
    Mutant(
        'change_goes_on_in_another_cluster',
        Edit(
            CHANGES,
            '        if state.is_attached and state.cluster_id != asking.cluster_id:',
            '        if False:',
        ),
        'a change is of the cluster that was asked (design §4)',
        0,
        killed_by=(TEST, 'test_change_of_a_cluster_is_not_made_by_another_one'),
    ),
    Mutant(
        'change_that_may_be_heard_is_denied',
        Edit(
            CHANGES,
            '        was_heard, asking.may_be_heard = asking.may_be_heard, True',
            '        was_heard = asking.may_be_heard',
        ),
        'what may be done is not said to be undone (design §2: errors)',
        0,
        killed_by=(
            TEST,
            'test_change_is_not_denied_when_time_is_over_before_the_first_answer',
        ),
    ),
    Mutant(
        'refusal_of_the_moment_denies_an_earlier_ask',
        Edit(
            CHANGES,
            '        if self.is_unanswered and isinstance(error, _OF_THE_MOMENT):',
            '        if False:',
        ),
        'what may be done is not said to be undone (design §2: errors)',
        0,
        killed_by=(
            TEST,
            'test_refusal_of_the_moment_says_nothing_of_an_earlier_ask_without_an_answer',
        ),
    ),
)
