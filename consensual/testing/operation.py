"""An operation of a client, as it was seen from outside: asked when, what, and what became of it.

Knows neither how it was recorded nor what it should have returned.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from math import inf, isnan
from typing import Any, Union


class FrozenDict(dict[str, Any]):
    """A dict that can be a state, or part of one: hashable, never changed."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none, for it may change
        return hash(frozenset(self.items()))


def frozen(value: Any) -> Any:
    """Return a copy whose lists are tuples and whose dicts are hashable, all the way down."""
    if isinstance(value, (list, tuple)):
        return tuple(map(frozen, value))
    if isinstance(value, dict):
        return FrozenDict({key: frozen(item) for key, item in value.items()})
    return value


@dataclass(frozen=True, slots=True)
class Returned:
    """It happened, and the client was told `value`."""

    value: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, 'value', frozen(self.value))


@dataclass(frozen=True, slots=True)
class Raised:
    """It happened, and the client was told that it raised `text`.

    A model whose operations can raise gives a `Raised` as the output of a step.
    """

    text: str


@dataclass(frozen=True, slots=True)
class NotDone:
    """It did not happen and never will; the checker leaves it out."""

    reason: str = ''


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have happened, may happen at any time after the call, or never."""

    reason: str = ''


Outcome = Union[Returned, Raised, NotDone, Unknown]


@dataclass(frozen=True, slots=True)
class Operation:
    """What one client asked for and what it was told.

    client: who asked: a number or a name.
    request: what was asked for, as the model takes it: ('put', 'key', 'value').
    outcome: what became of it.
    called, returned: instants in seconds, of any clock that all clients share.
        What ends at the very instant at which another begins is concurrent with
        it. An operation of unknown outcome never returned: `returned` is infinite.

    Raises `ValueError` when it returned before it was called.
    """

    client: Union[int, str]
    request: Any
    outcome: Outcome
    called: float
    returned: float = inf

    def __post_init__(self) -> None:
        object.__setattr__(self, 'request', frozen(self.request))
        if isinstance(self.outcome, Unknown):
            object.__setattr__(self, 'returned', inf)
        if isnan(self.called) or not self.called <= self.returned:
            raise ValueError(
                f'{self.request!r} of client {self.client!r} was called at {self.called} and '
                f'returned at {self.returned}: all clients must share one clock'
            )

    @property
    def output(self) -> Hashable:
        """What a model's step is compared with: the value returned, or the `Raised`."""
        return self.outcome.value if isinstance(self.outcome, Returned) else self.outcome
