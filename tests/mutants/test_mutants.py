"""The catalogue fits the code, and the hunt kills: a part of it that does not take long.

All of it: python -m tests.mutants
"""

import pytest

from tests.mutants.__main__ import main, show
from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import hunt
from tests.mutants.mutant import Mutant, Rotten

QUICK = ('ack_before_durable', 'no_dedupe', 'learners_counted', 'no_joint', 'write_begun_is_done')
HARMLESS = Mutant(
    'harmless',
    'core/commitment.py',
    '    """Until its no-op is committed, a leader does not know what is (thesis §6.4)."""',
    '    """Nothing of this is run."""',
    'none',
    2,
)


@pytest.mark.parametrize('mutant', MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_breaks_one_line_of_the_code_as_it_is(mutant: Mutant) -> None:
    mutant.check(mutant.source())


def test_there_are_enough_mutants_by_different_names() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 25


@pytest.mark.parametrize('name', QUICK)
def test_mutant_is_killed(name: str) -> None:
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == name)
    assert hunt(mutant, mutant.seeds).is_killed


def test_survivor_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([HARMLESS], 2) == 1
    assert '1 mutants, of which survive: harmless' in capsys.readouterr().out


def test_text_that_is_not_there_is_told() -> None:
    with pytest.raises(Rotten, match='0 times'):
        HARMLESS.check('something else')


def test_unknown_name_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(['--only', 'nobody'])
    assert exit_.value.code == 2
    assert 'nobody' in capsys.readouterr().err
