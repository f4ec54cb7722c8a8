"""The soak: many short lives of clusters, each with its nemesis, its clients and its judge.

One seed is one life, and tells all of it. The command line is in `__main__`.
"""

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Optional

from msgspec import Struct

from consensual.testing.clients import Ask, Clients
from consensual.testing.linearizability import Undecided, Violation, check
from consensual.testing.liveness import settle
from consensual.testing.models import KeyValue
from consensual.testing.nemesis import Schedule, draw_schedule, play
from consensual.testing.observer import Broken
from consensual.testing.simulation import Simulation

KEYS = ('a', 'b', 'c')
SEARCH_STEPS = 200_000
"""Steps that the judge of a history may take; beyond them it is undecided."""


class Store:
    """The state machine of the soak: keys and values; one processor takes its time."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.queries: Mapping[str, Callable[[Any], Any]] = {'get': self._get}
        self.processors: Mapping[str, Callable[[Any], Any]] = {
            'put': self._put,
            'cas': self._cas,
            'delete': self._delete,
            'slow': self._slow,
            'fail': self._fail,
        }

    def reset(self) -> None:
        """Forget everything."""
        self.values.clear()

    def snapshot(self) -> Any:
        """Return all keys and values."""
        return dict(self.values)

    def restore(self, value: Any) -> None:
        """Take over keys and values."""
        self.values = value

    def _get(self, key: str) -> Any:
        return self.values.get(key)

    def _put(self, what: list[Any]) -> None:
        key, value = what
        self.values[key] = value

    def _cas(self, what: list[Any]) -> bool:
        key, expected, value = what
        if self.values.get(key) != expected:
            return False
        self.values[key] = value
        return True

    def _delete(self, what: list[Any]) -> bool:
        return self.values.pop(what[0], None) is not None

    async def _slow(self, what: list[Any]) -> None:
        await asyncio.sleep(0.02)
        self._put(what)

    def _fail(self, what: list[Any]) -> None:
        raise ValueError(f'{what} on purpose')


def draw_ask(random: Random) -> Ask:
    """Draw what a client asks of the `Store`."""
    key, value = random.choice(KEYS), random.randrange(1000)
    match random.choices(('get', 'put', 'cas', 'delete', 'slow'), (8, 6, 4, 1, 1))[0]:
        case 'get':
            return Ask('get', key, ('get', key), is_query=True)
        case 'cas':
            expected = random.choice((None, random.randrange(10)))
            return Ask('cas', [key, expected, value % 10], ('cas', key, expected, value % 10))
        case 'delete':
            return Ask('delete', [key], ('delete', key))
        case action:
            return Ask(action, [key, value % 10], ('put', key, value % 10))


def flood(simulation: Simulation, random: Random, seconds: float) -> None:
    """Let bursts of commands be handed to whoever leads, for so many seconds to come.

    A leader that is struck down just then has a log that nobody else has. Nobody
    reads what they write.
    """
    at = random.expovariate(2)
    while at < seconds:
        simulation.timeline.call_later(at, _burst, simulation, random.randint(1, 8))
        at += random.expovariate(2)


def _burst(simulation: Simulation, count: int) -> None:
    for number in range(count):
        _put(simulation, f'flood at {simulation.now} {number}', 'flood', number)


def _put(simulation: Simulation, client: str, key: str, value: Any) -> None:
    leader = simulation.leader
    if leader is not None:
        request = 'put', key, value if isinstance(value, int) else len(value)
        leader.execute('put', [key, value], timeout=3.0, client=client, request=request)


def load(simulation: Simulation, random: Random, ballast: int) -> None:
    """Let a value of so many characters be put, now and again in a while.

    A snapshot that has it takes many messages to be sent.
    """
    for after in (0.0, 10.0 * random.random()) if ballast else ():
        value = 'x' * random.randrange(ballast)
        simulation.timeline.call_later(after, _put, simulation, f'at {after}', 'ballast', value)


class Report(Struct):
    """What one life came to, or many of them.

    steps: of the simulation. faults: as drawn. acknowledged, read: commands and
    queries answered. taken, installed: snapshots. undecided: histories that could not
    be judged in time. broken: the invariants found broken.
    """

    seeds: int = 0
    seconds: float = 0.0
    node_seconds: float = 0.0
    steps: int = 0
    faults: int = 0
    messages: int = 0
    acknowledged: int = 0
    read: int = 0
    changes: int = 0
    taken: int = 0
    installed: int = 0
    undecided: int = 0
    broken: list[Broken] = []

    def add(self, other: 'Report') -> None:
        """Count another one in."""
        for field in self.__struct_fields__:
            setattr(self, field, getattr(self, field) + getattr(other, field))

    def __str__(self) -> str:
        return (
            f'{self.seeds} seeds, {self.seconds:.0f} s of clusters, {self.node_seconds:.0f} '
            f'node-seconds, {self.steps} steps, {self.messages} messages, {self.faults} faults, '
            f'{self.changes} membership changes, {self.taken} snapshots taken, '
            f'{self.installed} installed, {self.acknowledged} commands acknowledged, '
            f'{self.read} reads, {self.undecided} histories undecided'
        )


class Plan(Struct, frozen=True):
    """One life, before it is lived: all of it follows from the seed and the seconds.

    clients, pause: how many there are, and their seconds between two questions.
    snapshot_every: entries; see `Node.from_url`.
    ballast: characters of one value, at most; see `load`.
    """

    seed: int
    seconds: float
    names: tuple[str, ...]
    strangers: tuple[str, ...]
    write_time: float
    clients: int
    pause: float
    snapshot_every: int
    ballast: int
    schedule: Schedule

    def simulate(self, *, is_traced: bool = False) -> Simulation:
        """Make the world in which it is to be lived."""
        return Simulation(
            Store,
            seed=self.seed,
            snapshot_every=self.snapshot_every,
            write_time=self.write_time,
            is_traced=is_traced,
        )


def draw_plan(seed: int, seconds: float) -> Plan:
    """Draw a cluster of three or five nodes, and what befalls it."""
    random = Random(f'plan {seed}')  # noqa: S311 - to be repeated
    size = random.choice((3, 3, 5))
    names = tuple(f'n{number + 1}' for number in range(size))
    strangers = tuple(f'n{size + number + 1}' for number in range(2))
    write_time = random.choice((0.0, 0.002, 0.02, 0.2))
    clients, pause = random.choice((2, 4, 8)), random.choice((0.05, 0.2, 0.5))
    schedule = draw_schedule(random, names, seconds, strangers=strangers)
    snapshot_every = random.choice((1, 5, 20, 100))
    ballast = random.choice((0, 0, 0, 0, 100_000, 500_000))
    return Plan(
        seed,
        seconds,
        names,
        strangers,
        write_time,
        clients,
        pause,
        snapshot_every,
        ballast,
        schedule,
    )


def live(plan: Plan, *, simulation: Optional[Simulation] = None) -> Report:
    """Live one life, to its end: play, settle, judge. Return what came of it.

    simulation: where to; one of its own unless given.
    """
    if simulation is None:
        simulation = plan.simulate()
    try:
        simulation.found(plan.names)
        begun = simulation.now
        clients = Clients(simulation, draw_ask, count=plan.clients, pause=plan.pause)
        flood(simulation, simulation.world.random('floods'), plan.seconds)
        load(simulation, simulation.world.random('ballast'), plan.ballast)
        play(simulation, plan.schedule)
        simulation.run(plan.seconds)
        clients.stop()
        settle(simulation)
        report = _report(plan, simulation, clients)
        report.seconds = simulation.now - begun
        report.node_seconds = report.seconds * len(simulation.names)
        return report
    finally:
        simulation.close()


def _report(plan: Plan, simulation: Simulation, clients: Clients) -> Report:
    result = check(simulation.history, KeyValue(), max_steps=SEARCH_STEPS)
    if isinstance(result, Violation):
        simulation.world.observer.violate('linearizable', str(result))
    past = simulation.world.observer.past
    return Report(
        seeds=1,
        steps=simulation.timeline.steps,
        faults=len(plan.schedule),
        messages=simulation.network.carried,
        acknowledged=clients.acknowledged,
        read=clients.read,
        changes=sum(cluster.changes for cluster in past.clusters.values()),
        taken=past.snapshots_taken,
        installed=past.snapshots_installed,
        undecided=int(isinstance(result, Undecided)),
        broken=[*simulation.broken],
    )
