"""A core that is watched: all that goes in and comes out is shown to a recorder first.

Stands where the core stands; knows no rule of it.
"""

from random import Random
from typing import Optional, Protocol

from msgspec import Struct

from consensual.raft.core.configuration import Address
from consensual.raft.core.effects import Effects, Stored
from consensual.raft.core.events import Event
from consensual.raft.core.raft import Raft
from consensual.raft.core.state import Settings, State


class Beginning(Struct, frozen=True):
    """What one run of a core begins with; with its events, it determines all that follows.

    seed: of the core's own random choices.
    now: seconds of the node's own clock.
    """

    address: Address
    settings: Settings
    seed: int
    stored: Optional[Stored]
    now: float

    def make(self) -> Raft:
        """Make the core."""
        return Raft(
            self.address,
            settings=self.settings,
            random=Random(self.seed),  # noqa: S311 - no secret is drawn from it
            stored=self.stored,
            now=self.now,
        )


class Recorder(Protocol):
    """Sees the inputs and outputs of a node's core, in their order; it changes none of them."""

    def begin(self, beginning: Beginning, state: State, /) -> None:
        """A run begins; the state is the core's own, to be read only."""

    def step(self, event: Event, now: float, /) -> None:
        """The event is about to be stepped."""

    def take(self, effects: Effects, now: float, /) -> None:
        """The effects were taken, and are about to be carried out."""


class RecordedRaft:
    """A core and its recorder, with the core's interface."""

    def __init__(self, beginning: Beginning, recorder: Recorder) -> None:
        self._raft = beginning.make()
        self._recorder = recorder
        self.state = self._raft.state
        recorder.begin(beginning, self.state)

    def __repr__(self) -> str:
        return repr(self._raft)

    def step(self, event: Event, now: float) -> None:
        """See `Raft.step`."""
        self._recorder.step(event, now)
        self._raft.step(event, now)

    def take_effects(self, now: float) -> Effects:
        """See `Raft.take_effects`."""
        effects = self._raft.take_effects(now)
        self._recorder.take(effects, now)
        return effects
