"""Each invariant sees what it is for: turns and applications made by hand, and broken by hand.

The same on real nodes, with cores broken on purpose, is in `simulation/test_mutants`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from consensual.raft.core.effects import HardState, Write
from consensual.raft.core.log import Command, Entry, NoOp
from consensual.testing import command_invariants, invariants, membership_invariants
from consensual.testing.chronicle import Application, Applied, Past, Turn
from tests.simulation.turns import (
    JOINT,
    LEARNING,
    LESS,
    LOG,
    MEMBERS,
    N1,
    N2,
    N3,
    OTHER,
    acknowledges,
    applies,
    asks,
    changed,
    committing,
    contents_of,
    elected,
    entry,
    follows,
    leads,
    sets,
    turn_of,
    votes,
)
from tests.testing.broken_snapshots import BROKEN_WITH_SNAPSHOTS, WELL_WITH_SNAPSHOTS

WELL: list[tuple[str, Callable[[], Turn]]] = [
    ('nothing', turn_of),
    ('follows', follows),
    ('leads', partial(leads, 5)),
    ('appends', partial(changed, 5, LOG)),
    ('commits', partial(committing, 5)),
    ('is elected', partial(elected, 'i2')),
    ('asks for votes', partial(asks, 2)),
    ('asks for pre-votes', partial(asks, 3, 'pre-vote')),
    ('replicates', partial(asks, 2, 'append', [entry(2)])),
    ('votes', votes),
    ('acknowledges', partial(acknowledges, *LOG[3:])),
    ('applies', partial(applies, 3, 4, emitted=2)),
    ('enters joint', partial(changed, 5, [*LOG[:4], entry(2, JOINT)])),
    ('leaves joint', partial(changed, 5, [*LOG[:3], entry(2, JOINT), entry(2, LESS)])),
    ('takes a learner', partial(changed, 5, [*LOG[:4], entry(2, LEARNING)])),
    *WELL_WITH_SNAPSHOTS,
]

BROKEN: list[tuple[Callable[[Turn], Any], Callable[[], Turn], Callable[[Turn], object], str]] = [
    (
        invariants.election_safety,
        turn_of,
        lambda turn: turn.chronicle.leaders.update({2: 'i2'}),
        'leads term 2, which the incarnation i2 led',
    ),
    (
        invariants.leader_append_only,
        turn_of,
        sets('changed_from', 5),
        'changed its log from 5 on, leading term 2',
    ),
    (
        invariants.log_matching,
        partial(changed, 5, LOG),
        lambda turn: turn.chronicle.entries.update({(5, 2): (OTHER, 2)}),
        'at 5, where',
    ),
    (
        invariants.log_matching,
        turn_of,
        lambda turn: (
            setattr(turn, 'is_new_cluster', True),
            turn.chronicle.entries.update({(4, 2): (LOG[3], 2)}),
        ),
        'at 4, where',
    ),
    (
        invariants.leader_completeness,
        partial(elected, 'i2'),
        lambda turn: turn.chronicle.committed.update({6: (entry(1), 1)}),
        'leads term 2 without',
    ),
    (
        invariants.leader_completeness,
        partial(elected, 'i2'),
        lambda turn: turn.chronicle.committed.update({3: (OTHER, 1)}),
        'committed at 3',
    ),
    (
        invariants.state_machine_safety,
        partial(committing, 5),
        lambda turn: turn.chronicle.committed.update({5: (OTHER, 2)}),
        'for committed at 5, where',
    ),
    (
        invariants.state_machine_safety,
        partial(committing, 5),
        lambda turn: turn.chronicle.leader_logs.update({3: (0, LOG[:4])}),
        'which the leader of 3 lacks',
    ),
    (
        invariants.one_vote_per_term,
        turn_of,
        sets('seen.vote', ('n2', 'i2')),
        'in term 2, after',
    ),
    (
        invariants.one_vote_per_term,
        partial(asks, 2),
        lambda turn: turn.past.votes.update({('i1', 2): 'i2'}),
        'votes for the incarnation i1 in term 2, after i2',
    ),
    (
        invariants.one_vote_per_term,
        votes,
        lambda turn: turn.past.votes.update({('i1', 2): 'i3'}),
        'votes for the incarnation i2 in term 2, after i3',
    ),
    (
        invariants.leader_has_a_majority_of_votes,
        elected,
        lambda _: None,
        'leads term 2 without a majority of votes',
    ),
    (
        invariants.leader_has_a_majority_of_votes,
        partial(elected, 'i2'),
        sets('state.electorate', (MEMBERS, (N1, N3))),
        'without a majority',
    ),
    (
        invariants.match_index_is_on_the_peers_disk,
        partial(leads, 6),
        lambda _: None,
        'it has 5',
    ),
    (
        invariants.match_index_is_on_the_peers_disk,
        partial(leads, 5),
        lambda turn: turn.past.lost.update({'i2': contents_of(LOG[:4])}),
        'takes entry 5 for stored by',
    ),
    (
        invariants.nothing_is_revealed_before_it_is_durable,
        partial(asks, 3, 'append'),
        lambda _: None,
        'reveals term 3 before it is durable by a AppendEntries',
    ),
    (
        invariants.nothing_is_revealed_before_it_is_durable,
        partial(asks, 4, 'pre-vote'),
        lambda _: None,
        'reveals term 3',
    ),
    (
        membership_invariants.only_the_empty_join,
        partial(leads, 4),
        sets('disk.contents.hard_state', HardState('i1', 'c', False, 2, 'n1', 'i1')),
        'is a member again, with the history that it left with',
    ),
    (
        invariants.nothing_is_revealed_before_it_is_durable,
        partial(asks, 2),
        sets('disk.contents.hard_state', HardState('i1', 'c', True, 2)),
        'asks for votes of term 2 before its own is durable',
    ),
    (
        invariants.nothing_is_revealed_before_it_is_durable,
        votes,
        sets('disk.contents.hard_state', HardState('i1', 'c', True, 2, 'n3', 'i3')),
        'grants a vote of term 2 before it is durable',
    ),
    (
        invariants.nothing_is_revealed_before_it_is_durable,
        votes,
        sets('disk.contents.hard_state', HardState('i1', 'c', True, 1)),
        'reveals term 2 before it is durable by a VoteReply',
    ),
    (
        invariants.nothing_is_revealed_before_it_is_durable,
        partial(acknowledges, *LOG[3:]),
        lambda turn: turn.disk.contents.take(Write(2, None, 5)),
        'acknowledges entry 5 before it is durable',
    ),
    (
        invariants.durable_index_is_on_disk,
        partial(changed, 5, LOG),
        lambda turn: turn.disk.contents.take(Write(2, None, 5)),
        'takes its entries up to 5 for durable; they are not',
    ),
    (
        invariants.committed_is_durable_on_a_quorum,
        partial(committing, 5),
        lambda turn: turn.past.lost.clear(),
        'commits entry 5, which is on no majority of disks',
    ),
    (
        invariants.committed_is_durable_on_a_quorum,
        partial(committing, 5),
        sets('is_leader', False),
        'takes entry 5 for committed before any leader does',
    ),
    (
        invariants.committed_is_durable_on_a_quorum,
        partial(committing, 3, last=3),
        lambda _: None,
        'commits entry 3 of term 1 by counting, leading 2',
    ),
    (invariants.terms_never_go_back, turn_of, sets('seen.term', 3), 'is in term 2, after 3'),
    (
        invariants.terms_never_go_back,
        turn_of,
        lambda turn: turn.past.revealed_terms.update({'i1': 4}),
        'is in term 2, after 4',
    ),
    (
        invariants.commit_index_never_goes_back,
        turn_of,
        sets('seen.commit_index', 5),
        'has commit index 4, after 5',
    ),
    (
        invariants.commit_index_never_goes_back,
        turn_of,
        sets('state.commit_index', 6),
        'has commit index 6 and 5 entries',
    ),
    (
        invariants.committed_entries_stay,
        turn_of,
        sets('changed_from', 4),
        'changed its log from 4, of 4 committed',
    ),
    (
        invariants.applied_index_never_goes_back,
        partial(applies, 3, 4, emitted=3),
        lambda _: None,
        'applies from 3 on, after 3',
    ),
    (
        invariants.applied_index_never_goes_back,
        partial(applies, 3, 5, emitted=2),
        lambda _: None,
        'applies up to 5, of 4 committed',
    ),
    (
        membership_invariants.configuration_is_the_logs,
        turn_of,
        sets('configurations', [1, 3]),
        'uses the configuration of 1, where its log has one at 3',
    ),
    (
        membership_invariants.configuration_is_the_logs,
        turn_of,
        lambda turn: turn.state.log.truncate(1) or turn.state.log.append([entry(1, LESS)]),
        'uses another configuration than that at 1',
    ),
    (
        membership_invariants.electorate_is_the_configurations,
        turn_of,
        sets('state.electorate', ((N1, N2),)),
        'decide, where',
    ),
    (
        membership_invariants.one_change_at_a_time,
        partial(changed, 5, [*LOG[:3], entry(2, JOINT), entry(2, LESS)], commit_index=3),
        lambda _: None,
        'changes the membership at 5, before that of 4 is committed',
    ),
    (
        membership_invariants.one_change_at_a_time,
        partial(changed, 5, [*LOG[:4], entry(2, JOINT)], commit_index=3),
        lambda _: None,
        'changes the membership at 5, before it committed in its term',
    ),
    (
        membership_invariants.voters_change_by_joint_consensus,
        partial(changed, 5, [*LOG[:4], entry(2, LESS)]),
        lambda _: None,
        'at 5, after',
    ),
    (
        membership_invariants.voters_change_by_joint_consensus,
        partial(changed, 5, [*LOG[:3], entry(2, JOINT), entry(2, JOINT)]),
        lambda _: None,
        'at 5, after',
    ),
    *BROKEN_WITH_SNAPSHOTS,
]

PUT = Command(1, 1, 1, 'put', '1')


def application_of() -> Application:
    """An application of the command at 5, which was applied elsewhere already."""
    past = Past()
    chronicle = past.clusters['c']
    chronicle.committed[5] = Entry(2, 3.0, PUT), 2
    applied = Applied(2, 3.0, ('put', '1'), '1', '[1]')
    chronicle.applied[5] = Applied(2, 3.0, ('put', '1'), '1', '[1]')
    chronicle.commands[1, 1] = 5
    return Application('n1', 5, applied, chronicle, 4, 2.0)


def became(**what: Any) -> Callable[[Application], None]:
    """Return what makes another application of it."""

    def change(application: Application) -> None:
        known = application.applied
        fields = {name: getattr(known, name) for name in known.__struct_fields__}
        application.applied = Applied(**{**fields, **what})

    return change


def committed(payload: Any) -> Callable[[Application], None]:
    return lambda item: item.chronicle.committed.update({5: (Entry(2, 3.0, payload), 2)})


def skips_the_one_before(application: Application) -> None:
    """Another node applied a command at 4; this one went from 3 to 5."""
    application.last_index = 3
    application.chronicle.applied[4] = application.applied


BROKEN_APPLICATIONS: list[
    tuple[Callable[[Application], Any], Callable[[Application], object], str]
] = [
    (
        command_invariants.applied_in_order,
        lambda item: setattr(item, 'last_index', 5),
        'at 5 and 3.0, after 5 at 2.0',
    ),
    (
        command_invariants.applied_in_order,
        lambda item: setattr(item, 'last_time', 3.1),
        'at 5 and 3.0, after 4 at 3.1',
    ),
    (
        command_invariants.applied_is_complete,
        lambda item: (
            setattr(item, 'last_index', 3) or item.chronicle.applied.update({4: item.applied})
        ),
        'skips',
    ),
    (
        command_invariants.applied_is_committed,
        lambda item: item.chronicle.committed.clear(),
        'at 5, which is not committed',
    ),
    (
        command_invariants.applied_is_committed,
        committed(NoOp()),
        'put(1) at 5, where NoOp() is committed',
    ),
    (command_invariants.applied_is_committed, became(key=('put', '2')), 'put(2) at 5, where'),
    (
        command_invariants.applied_once,
        lambda item: item.chronicle.commands.update({(1, 1): 3}),
        'applies put(1) at 5, after 3',
    ),
    (command_invariants.applied_is_the_same_everywhere, became(term=1), 'at 5, where'),
    (command_invariants.applied_is_the_same_everywhere, became(time=3.5), 'at 5, where'),
    (
        command_invariants.applied_is_the_same_everywhere,
        became(outcome='2'),
        'is not deterministic: put(1) at 5 gives 2, and gave 1',
    ),
    (
        command_invariants.applied_is_the_same_everywhere,
        became(state='[2]'),
        'is not deterministic: after put(1) at 5 its state is [2], and was [1]',
    ),
]


def name_of(case: tuple[Any, ...]) -> str:
    return str(getattr(case[0], '__name__', case[0]))


@pytest.mark.parametrize(('_', 'make'), WELL, ids=[what for what, _ in WELL])
@pytest.mark.parametrize('invariant', invariants.AFTER_EVERY_TURN)
def test_turn_in_which_all_is_well_breaks_nothing(
    _: str, make: Callable[[], Turn], invariant: Callable[[Turn], str | None]
) -> None:
    assert invariant(make()) is None


@pytest.mark.parametrize(
    ('invariant', 'make', 'change', 'text'), BROKEN, ids=[*map(name_of, BROKEN)]
)
def test_turn_that_breaks_it_is_told(
    invariant: Callable[[Turn], str | None],
    make: Callable[[], Turn],
    change: Callable[[Turn], object],
    text: str,
) -> None:
    turn = make()
    change(turn)
    assert text in (invariant(turn) or '')


@pytest.mark.parametrize('invariant', command_invariants.AFTER_EVERY_COMMAND)
def test_application_in_which_all_is_well_breaks_nothing(
    invariant: Callable[[Application], str | None],
) -> None:
    assert invariant(application_of()) is None


@pytest.mark.parametrize(
    ('invariant', 'change', 'text'), BROKEN_APPLICATIONS, ids=[*map(name_of, BROKEN_APPLICATIONS)]
)
def test_application_that_breaks_it_is_told(
    invariant: Callable[[Application], str | None],
    change: Callable[[Application], object],
    text: str,
) -> None:
    application = application_of()
    change(application)
    assert text in (invariant(application) or '')


def test_every_invariant_is_shown_to_fail() -> None:
    shown = {case[0] for case in BROKEN} | {case[0] for case in BROKEN_APPLICATIONS}
    assert shown == {*invariants.AFTER_EVERY_TURN, *command_invariants.AFTER_EVERY_COMMAND}
