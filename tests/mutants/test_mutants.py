"""The catalogue fits the code, and the hunt kills: a part of it that does not take long.

All of it: python -m tests.mutants, and python -m tests.mutants --tests
"""

import pytest

from tests.mutants.__main__ import main, show, show_tests
from tests.mutants.catalogue import MUTANTS, TESTED
from tests.mutants.hunt import hunt, try_tests
from tests.mutants.mutant import PACKAGE, Edit, Mutant, Rotten
from tests.mutants.survivors import HARMLESS, OUT_OF_REACH

BY_TESTS = (*TESTED, *HARMLESS, *OUT_OF_REACH)

QUICK = (
    'acknowledges_before_durable',
    'applies_every_copy',
    'learners_decide',
    'no_consistency_check',
    'no_joint_consensus',
    'write_begun_is_taken_for_done',
)
QUICK_BY_TESTS = (
    'snapshot_is_not_written',
    'damaged_snapshot_is_installed',
    'lost_incarnation_stays_a_voter',
    'matching_tail_is_dropped',
    'own_vote_before_durable',
)
NOTHING = Edit(
    'core/commitment.py',
    '    """Until its no-op is committed, a leader does not know what is (thesis §6.4)."""',
    '    """Nothing of this is run."""',
)


@pytest.mark.parametrize('mutant', [*MUTANTS, *BY_TESTS], ids=lambda mutant: mutant.name)
def test_mutant_breaks_lines_of_the_code_as_it_is(mutant: Mutant) -> None:
    for edit in mutant.edits:
        source = (PACKAGE / 'raft' / edit.file).read_text('utf-8')
        assert edit.applied_to(source) != source


def test_there_are_enough_mutants_by_different_names() -> None:
    names = {mutant.name for mutant in (*MUTANTS, *BY_TESTS)}
    assert len(names) == len(MUTANTS) + len(BY_TESTS)
    assert len(MUTANTS) >= 25


@pytest.mark.parametrize('mutant', BY_TESTS, ids=lambda mutant: mutant.name)
def test_what_the_simulator_leaves_has_a_test(mutant: Mutant) -> None:
    path, name = mutant.killed_by
    assert f'def {name}(' in (PACKAGE.parent / path).read_text('utf-8')


@pytest.mark.parametrize('name', QUICK)
def test_mutant_is_killed(name: str) -> None:
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == name)
    assert hunt(mutant, mutant.seeds).seed is not None


def test_mutants_are_killed_by_the_tests_that_they_name() -> None:
    chosen = [mutant for mutant in BY_TESTS if mutant.name in QUICK_BY_TESTS]
    assert len(chosen) == len(QUICK_BY_TESTS)
    assert [mutant.name for mutant, is_killed in try_tests(chosen) if not is_killed] == []


def test_test_that_kills_nothing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    test = 'tests/core/test_log.py', 'test_terms_never_decrease_along_a_log'
    assert show_tests([Mutant('a_docstring', NOTHING, 'none', 0, killed_by=test)]) == 1
    assert '1 mutants, of which survive: a_docstring' in capsys.readouterr().out


def test_test_that_is_not_there_is_told() -> None:
    test = 'tests/core/test_log.py', 'test_of_nothing'
    with pytest.raises(RuntimeError, match='test_of_nothing'):
        show_tests([Mutant('a_docstring', NOTHING, 'none', 0, killed_by=test)])


def test_survivor_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([Mutant('a_docstring', NOTHING, 'none', 2)]) == 1
    assert '1 mutants, of which survive: a_docstring' in capsys.readouterr().out


def test_text_that_is_not_there_is_told() -> None:
    with pytest.raises(Rotten, match='0 times'):
        NOTHING.applied_to('something else')


def test_text_that_is_there_twice_is_told() -> None:
    with pytest.raises(Rotten, match='2 times'):
        NOTHING.applied_to(2 * f'{NOTHING.before}\n')


def test_more_than_one_line_is_told() -> None:
    with pytest.raises(Rotten, match='one line'):
        Edit('a.py', 'a = 1\nb = 1', 'a = 2\nb = 2').applied_to('a = 1\nb = 1')


def test_unknown_name_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(['--only', 'nobody'])
    assert exit_.value.code == 2
    assert 'nobody' in capsys.readouterr().err


def test_lives_of_what_is_left_to_a_test_are_to_be_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(['--only', 'keeps_no_tail'])
    assert exit_.value.code == 2
    assert '--tests' in capsys.readouterr().err
