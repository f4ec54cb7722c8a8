"""The catalogue fits the code, and the hunt kills: a part of it that does not take long.

All of it: python -m tests.mutants
"""

import pytest

from tests.mutants.__main__ import main, show
from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import hunt
from tests.mutants.mutant import PACKAGE, Edit, Mutant, Rotten
from tests.mutants.survivors import HARMLESS, OUT_OF_REACH

SURVIVORS = (*HARMLESS, *OUT_OF_REACH)

QUICK = (
    'acknowledges_before_durable',
    'applies_every_copy',
    'learners_decide',
    'no_consistency_check',
    'no_joint_consensus',
    'write_begun_is_taken_for_done',
)
NOTHING = Edit(
    'core/commitment.py',
    '    """Until its no-op is committed, a leader does not know what is (thesis §6.4)."""',
    '    """Nothing of this is run."""',
)


@pytest.mark.parametrize('mutant', [*MUTANTS, *SURVIVORS], ids=lambda mutant: mutant.name)
def test_mutant_breaks_lines_of_the_code_as_it_is(mutant: Mutant) -> None:
    for edit in mutant.edits:
        source = (PACKAGE / 'raft' / edit.file).read_text('utf-8')
        assert edit.applied_to(source) != source


def test_there_are_enough_mutants_by_different_names() -> None:
    names = {mutant.name for mutant in (*MUTANTS, *SURVIVORS)}
    assert len(names) == len(MUTANTS) + len(SURVIVORS)
    assert len(MUTANTS) >= 25


@pytest.mark.parametrize('mutant', SURVIVORS, ids=lambda mutant: mutant.name)
def test_what_survives_is_killed_by_a_test(mutant: Mutant) -> None:
    path, name = mutant.killed_by
    assert f'def {name}(' in (PACKAGE.parent / path).read_text('utf-8')


@pytest.mark.parametrize('name', QUICK)
def test_mutant_is_killed(name: str) -> None:
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == name)
    assert hunt(mutant, mutant.seeds).seed is not None


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
