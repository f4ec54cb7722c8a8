"""A crash at every write boundary of the story loses nothing, whatever the node is just then."""

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from consensual.raft.core import membership, sessions
from tests.crashes.boundaries import NAMES, PARTS, all_ways, crash_everywhere
from tests.crashes.story import Story

Patch = pytest.MonkeyPatch

enumerate_once = cache(crash_everywhere)


def test_story_has_everything_in_it() -> None:
    """One node crashes by the script, one joins by a snapshot, one is sent one as it lost all."""
    story = Story()
    story.play()
    assert [node.lives for node in story.simulation] == [1, 2, 2, 1]
    assert story.restored == ['n2', 'n3', 'n4']
    assert story.acknowledged == [*range(1, story.submitted + 1)]


@pytest.mark.parametrize('name', NAMES)
def test_crash_at_any_write_loses_nothing(name: str) -> None:
    """Nothing acknowledged is lost at any write boundary (design §4); all invariants hold."""
    assert all(enumerate_once(name).writes.values())


def test_every_write_of_every_part_is_crashed_at() -> None:
    everything = [enumerate_once(name) for name in NAMES]
    parts: Counter[str] = sum((each.parts for each in everything), Counter())
    assert {*parts} == PARTS
    assert sum(parts.values()) == sum(sum(each.writes.values()) for each in everything) >= 80
    assert sum(each.stories for each in everything) >= 2 * sum(parts.values())


@pytest.mark.long
@pytest.mark.parametrize('name', NAMES)
def test_crash_in_any_way_loses_nothing(name: str) -> None:
    """The same in every combination of what was written, what was sent, and for how long."""
    assert crash_everywhere(name, all_ways).stories >= 100


# The harness can fail: what no run without these crashes shows.


def forgets_what_was_applied(patch: Patch) -> None:
    """Callers hand in again what may be lost with the leader; it may be there twice then."""
    original = sessions.Sessions.find

    def find(self: Any, command: Any) -> Any:
        session = original(self, command)
        if session is not None:
            session.outcomes.clear()
        return session

    patch.setattr(sessions.Sessions, 'find', find)


def only_who_enters_joint_leaves_it(patch: Patch) -> None:
    """A leader that crashes in between leaves its successors in the joint configuration."""
    original = membership.leave_joint

    def leave_joint(state: Any, leader: Any) -> None:
        if state.configured.index > leader.first_index:
            original(state, leader)

    patch.setattr(membership, 'leave_joint', leave_joint)


@pytest.mark.parametrize('mutant', [forgets_what_was_applied, only_who_enters_joint_leaves_it])
def test_mutant_is_shown_by_a_crash_alone(
    mutant: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    mutant(monkeypatch)
    Story().play()
    with pytest.raises(AssertionError) as caught:
        crash_everywhere('n1')
    assert 'play() shows it again' in '\n'.join(caught.value.__notes__)
