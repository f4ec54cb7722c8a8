"""What all nodes of a simulation share: time, network, watcher, history and trace.

Holds them together; does nothing by itself.
"""

from collections.abc import Callable
from random import Random
from typing import Optional

from consensual.testing.disk import Disk
from consensual.testing.history import History
from consensual.testing.network import Network
from consensual.testing.observer import Observer
from consensual.testing.timeline import Timeline
from consensual.testing.trace import Trace


class World:
    """Everything that a simulated node finds around itself.

    seed: of every random choice.
    heartbeat, election_timeout: seconds, of every node; see `Node.from_url`.
    snapshot_every: entries, of every node; see `Node.from_url`.
    write_time: seconds that writes take at most on a new disk.
    is_watched: the invariants are checked after every turn.
    trace: of all nodes; None where nothing is recorded.
    make_disk: makes the disk of a node; what it is given is told by `Disk`.
    """

    def __init__(
        self,
        seed: int,
        *,
        heartbeat: float,
        election_timeout: Optional[float],
        snapshot_every: int,
        write_time: float,
        is_watched: bool,
        is_traced: bool,
    ) -> None:
        self.seed = seed
        self.heartbeat = heartbeat
        self.election_timeout = election_timeout
        self.snapshot_every = snapshot_every
        self.write_time = write_time
        self.is_watched = is_watched
        self.timeline = Timeline()
        self.network = Network(self.timeline, seed)
        self.observer = Observer(lambda: self.timeline.now, self.note)
        self.history = History(lambda: self.timeline.now)
        self.trace = Trace() if is_traced else None
        self.make_disk: Callable[..., Disk] = Disk

    def __repr__(self) -> str:
        return f'World(seed={self.seed}, {self.timeline!r})'

    def random(self, purpose: str) -> Random:
        """Return random numbers that nothing else is drawn from."""
        return Random(f'{self.seed} {purpose}')  # noqa: S311 - to be repeated

    def note(self, text: str) -> None:
        """Let the trace tell what was done to the world."""
        if self.trace is not None:
            self.trace.note(text, self.timeline.now)
