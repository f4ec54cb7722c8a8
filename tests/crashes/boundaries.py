"""Every write boundary of the story: each write of each life of each node, and ways to crash there.

Enumerated, not sampled: the story is played with a crash at the first write, at the second,
and so on, until it ends without having reached one.
"""

from collections import Counter
from collections.abc import Callable
from itertools import product, starmap
from typing import Optional

from msgspec import Struct, field

from tests.crashes.story import Boundary, Story

NAMES = 'n1', 'n2', 'n3', 'n4'
PARTS = {'newcomer', 'founder', 'leader', 'follower', 'candidate', 'learner', 'removed'}
"""What a node may be when it crashes within a write; a pre-candidate has nothing to write."""

SENDERS = 'founder', 'leader'
"""Who sends beside its writes (thesis §10.2.1); nobody else's crash need linger."""

MOST_WRITES = 200


SHORT, LONG = 0.3, 1.5
"""Seconds of absence: the node is back before others stand for election, or after."""

LINGERS = 0.02
"""Seconds in which messages get to the others, and their answers are on the way."""


class Way(Struct, frozen=True):
    """How to crash at a boundary: see `Boundary`."""

    is_durable: bool = False
    lingers: float = 0.0
    absence: float = SHORT


FIRST = Way()
"""What is tried first at each write; what the node is then decides about other ways."""

Ways = Callable[[str], list[Way]]
"""The other ways, by what the node is."""


class Enumerated(Struct):
    """What was enumerated of one node.

    writes: how many, by life; the story was played with a crash at each.
    parts: at how many of them the node was what.
    stories: how many were played, as there are several ways to crash at a write.
    """

    writes: dict[int, int] = field(default_factory=dict)
    parts: Counter[str] = field(default_factory=Counter)
    stories: int = 0


def quick_ways(part: str) -> list[Way]:
    """Return what every run tries: the write is durable; it is lost, and others heard of it."""
    ways = [Way(is_durable=True, absence=LONG)]
    if part in SENDERS:
        ways.append(Way(is_durable=False, lingers=LINGERS, absence=LONG))
    return ways


def all_ways(_: str) -> list[Way]:
    """Return every combination, and an absence that nobody notices."""
    combinations = product((False, True), (0.0, LINGERS), (0.02, SHORT, LONG))
    return [way for way in starmap(Way, combinations) if way != FIRST]


def crash_everywhere(name: str, ways: Ways = quick_ways) -> Enumerated:
    """Crash a node at every write that it has in the story. Raises what does not hold then."""
    enumerated = Enumerated()
    for life in range(1, lives_of(name) + 1):
        for number in range(1, MOST_WRITES):
            part = play(boundary(name, life, number, FIRST))
            if part is None:
                break
            others = ways(part)
            for way in others:
                assert play(boundary(name, life, number, way)) == part, 'it is not where it was'
            enumerated.writes[life] = number
            enumerated.parts[part] += 1
            enumerated.stories += 1 + len(others)
    return enumerated


def boundary(name: str, life: int, number: int, way: Way) -> Boundary:
    """Return a boundary with a way to crash there."""
    return Boundary(name, life, number, way.is_durable, way.lingers, way.absence)


def lives_of(name: str) -> int:
    """Return how many lives a node has in the story without a crash."""
    story = Story()
    story.play()
    return story.simulation[name].lives


def play(at: Boundary) -> Optional[str]:
    """Return what the node was when it crashed there; None where the story never comes there."""
    story = Story(at)
    try:
        story.play()
    except Exception as error:
        error.add_note(f'Story({at}).play() shows it again')
        raise
    return story.crashed_as
