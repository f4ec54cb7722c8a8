"""Mutants of membership and identity: who decides, who joins, and who is who.

Data only.
"""

from tests.mutants.mutant import Edit, Mutant

MEMBERSHIP, IDENTITY, STATE = 'core/membership.py', 'core/identity.py', 'core/state.py'
CONFIGURATION, QUORUM, COMMITMENT = 'core/configuration.py', 'core/quorum.py', 'core/commitment.py'

ELECTORATE = '        return (self.voters, self.outgoing) if self.outgoing else (self.voters,)'

MEMBERS = (
    Mutant(
        'learners_decide',
        Edit(CONFIGURATION, ELECTORATE, '        return (self.members,)'),
        'learners are not counted (thesis §4.2.1)',
        50,
    ),
    Mutant(
        'joint_voters_are_one_group',
        Edit(CONFIGURATION, ELECTORATE, '        return (self.electors,)'),
        'both majorities decide while joint (§6)',
        50,
    ),
    Mutant(
        'only_new_voters_decide',
        Edit(CONFIGURATION, ELECTORATE, '        return (self.voters,)'),
        'both majorities decide while joint (§6)',
        50,
    ),
    Mutant(
        'one_majority_of_two_elects',
        Edit(QUORUM, '    return all(2 *', '    return any(2 *'),
        'both majorities elect while joint (§6)',
        200,
    ),
    Mutant(
        'one_majority_of_two_commits',
        Edit(QUORUM, '    return min(_majority_value', '    return max(_majority_value'),
        'both majorities commit while joint (§6)',
        50,
    ),
    Mutant(
        'removed_leader_counts_itself',
        Edit(
            COMMITMENT,
            '    index = agreed_value(state.electorate, durable_index_of)',
            '    index = agreed_value('
            '[{state.me, *group} for group in state.electorate], durable_index_of)',
        ),
        'a leader counts itself only where it is in the majority (§6)',
        100,
    ),
    Mutant(
        'commits_by_the_committed_configuration',
        Edit(
            COMMITMENT,
            '    index = agreed_value(state.electorate, durable_index_of)',
            '    index = agreed_value('
            '(state.committed_configured if state.commit_index else state.configured)'
            '.configuration.electorate, durable_index_of)',
        ),
        'a configuration is in force when appended (§6)',
        100,
    ),
    Mutant(
        'truncated_configuration_stays',
        Edit(
            STATE,
            '        if self.configured.index >= first:',
            '        if False:',
        ),
        'a truncated configuration is rolled back (§6)',
        200,
    ),
    Mutant(
        'leaves_joint_before_it_is_committed',
        Edit(
            MEMBERSHIP,
            '    if state.configured.index > state.commit_index '
            'or not has_committed_in_own_term(state, leader):',
            '    if not has_committed_in_own_term(state, leader):',
        ),
        'C_new follows when C_old,new is committed (§6)',
        50,
    ),
    Mutant(
        'no_joint_consensus',
        Edit(
            MEMBERSHIP,
            '    joint = Configuration('
            'configuration.voters, state.configuration.voters, configuration.learners)',
            '    joint = Configuration(configuration.voters, (), configuration.learners)',
        ),
        'voters change by way of C_old,new (§6)',
        50,
    ),
    Mutant(
        'newcomers_vote_at_once',
        Edit(
            MEMBERSHIP,
            '        return adopt(state, leader, Configuration(voters, (), learners), '
            'attachment.request)',
            '        return adopt(state, leader, Configuration(voters + learners), '
            'attachment.request)',
        ),
        'newcomers are learners first (thesis §4.2.1)',
        50,
    ),
    Mutant(
        'learners_are_forgotten',
        Edit(
            MEMBERSHIP,
            '        voters = state.configuration.voters + state.configuration.learners',
            '        voters = state.configuration.voters',
        ),
        'learners that caught up become voters (thesis §4.2.1)',
        50,
    ),
    Mutant(
        'second_change_meanwhile',
        Edit(
            MEMBERSHIP,
            '    if is_changing(state, leader):',
            '    if False:',
        ),
        'one change at a time (§6)',
        200,
    ),
    Mutant(
        'change_before_a_commit_in_its_term',
        Edit(
            MEMBERSHIP,
            '    if is_leaving or not has_committed_in_own_term(state, leader):',
            '    if is_leaving:',
        ),
        'no change before a commit in the own term (design §4)',
        300,
    ),
    Mutant(
        'joins_with_a_history',
        Edit(
            IDENTITY,
            '    if state.is_attached or (is_empty(state) and type(request) is AppendEntries):',
            '    if state.is_attached or type(request) is AppendEntries:',
        ),
        'only the empty can be attached (design §4)',
        300,
    ),
    Mutant(
        'attaches_who_has_a_history',
        Edit(
            MEMBERSHIP,
            '    if isinstance(reply, InquireReply) and reply.is_empty:',
            '    if isinstance(reply, InquireReply):',
        ),
        'only the empty can be attached (design §4)',
        500,
    ),
    Mutant(
        'removed_is_not_told',
        Edit(
            MEMBERSHIP,
            '        and position == configuration_position(state)',
            '        and False',
        ),
        'a removed node is told (§6)',
        100,
    ),
    Mutant(
        'answers_in_the_name_of_the_lost',
        Edit(
            IDENTITY,
            '    if route.receiver_incarnation != state.incarnation:',
            '    if False:',
        ),
        'an incarnation that lost its data is another one (design §4)',
        200,
    ),
    Mutant(
        'reset_keeps_the_incarnation',
        Edit(
            STATE,
            "        self.incarnation = f'{self.random.getrandbits(64):016x}'",
            "        self.incarnation = getattr(self, 'incarnation', '') "
            "or f'{self.random.getrandbits(64):016x}'",
        ),
        'a reset draws a new incarnation (design §4)',
        100,
    ),
)
