"""What must hold of a cluster that was killed and is back, by what its callers were told.

Knows numbers and states; processes it does not.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.crashes.ledger import numbers_of

SHOWN = 5


class Judge:
    """Remembers what was submitted and acknowledged in all lives of a cluster.

    last: the highest number that was submitted.
    seen: the numbers that were applied when the cluster was last looked at.
    """

    def __init__(self) -> None:
        self.submitted: set[int] = set()
        self.acknowledged: set[int] = set()
        self.seen: set[int] = set()
        self.last = 0

    def submit(self, number: int) -> None:
        """A command is about to be handed in."""
        self.submitted.add(number)
        self.last = max(self.last, number)

    def acknowledge(self, number: int) -> None:
        """Its caller was told that it is applied."""
        self.acknowledged.add(number)

    def look_at(self, states: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the states of all nodes, read linearizably."""
        wrong = [text for name, state in states.items() for text in self._wrong(name, state)]
        first, *others = states
        wrong += [
            f'the state of {name} is not that of {first}: {states[name]}, {states[first]}'
            for name in others
            if states[name] != states[first]
        ]
        self.seen = set.union(*(numbers_of(state['runs']) for state in states.values()))
        return wrong

    def _wrong(self, name: str, state: Any) -> Iterator[str]:
        applied = numbers_of(state['runs'])
        for numbers, text in (
            (self.acknowledged - applied, 'were acknowledged and are not applied'),
            (self.seen - self.acknowledged - applied, 'had been applied and are so no more'),
            (applied - self.submitted, 'were never submitted and are applied'),
            (state['twice'], 'are applied more than once'),
        ):
            if numbers:
                some = ', '.join(map(str, sorted(numbers)[:SHOWN]))
                yield f'{name}: {len(numbers)} commands {text}: {some}, …'
        if state['count'] != len(applied):
            yield f'{name}: it counts {state["count"]} commands, and tells of {len(applied)}'
