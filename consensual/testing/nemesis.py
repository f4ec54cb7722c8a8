"""The nemesis: draws from a seed what befalls a cluster, and when; and lets it happen.

A schedule is data: it can be printed, saved, replayed and shrunk.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Union

from msgspec import Struct

from consensual.testing.faults import (
    LEADER,
    AnyFault,
    Attach,
    Crash,
    CrashAtWrite,
    CutOneWay,
    Detach,
    Disturb,
    FailWrite,
    FillDisk,
    Isolate,
    Partition,
    Pause,
    SetClockRate,
    SlowDisk,
    SlowDown,
    Stop,
    Transfer,
)
from consensual.testing.network import Noise
from consensual.testing.simulation import Simulation


class Blow(Struct, frozen=True):
    """One fault, and when it befalls: in seconds since the schedule began."""

    at: float
    fault: AnyFault


Schedule = Sequence[Blow]


def play(simulation: Simulation, schedule: Schedule) -> None:
    """Plan a schedule, from this moment on; it happens as time passes."""
    for blow in schedule:
        simulation.timeline.call_later(blow.at, _befall, simulation, blow.fault)


def _befall(simulation: Simulation, fault: AnyFault) -> None:
    simulation.world.note(repr(fault))
    fault.befall(simulation)


def draw_schedule(
    random: Random, names: Sequence[str], seconds: float, *, strangers: Sequence[str] = ()
) -> list[Blow]:
    """Draw what befalls a cluster within so many seconds.

    names: of its members, two at least.
    strangers: of nodes that may join, or be made to.
    """
    dice = _Dice(random, names, strangers)
    pace = random.choice((0.3, 0.7, 1.5))
    storms = random.choice((0.0, 0.05, 0.2))
    schedule: list[Blow] = []
    at = random.expovariate(1 / pace)
    while at < seconds:
        blows = dice.draw_storm() if random.random() < storms else [(0.0, dice.draw())]
        for pause, fault in blows:
            at += pause
            schedule.append(Blow(round(at, 4), fault))
        at += random.expovariate(1 / pace)
    return [blow for blow in schedule if blow.at < seconds]


class _Dice:
    """Draws faults. Each cluster has its own luck: some kinds of faults it never meets."""

    def __init__(self, random: Random, names: Sequence[str], strangers: Sequence[str]) -> None:
        self._random = random
        self._names = [*names]
        self._all = [*names, *strangers]
        kinds: list[tuple[int, Callable[[], AnyFault]]] = [
            (4, self._partition),
            (3, self._isolate),
            (2, self._cut_one_way),
            (3, self._disturb),
            (2, self._pause),
            (1, self._slow_down),
            (1, self._set_clock_rate),
            (4, self._crash),
            (1, self._stop),
            (3, self._crash_at_write),
            (1, self._fail_write),
            (1, self._fill_disk),
            (1, self._slow_disk),
            (3, self._attach),
            (3, self._detach),
            (2, self._transfer),
        ]
        self._kinds = [(weight, draw) for weight, draw in kinds if random.random() < 0.7]
        self._kinds = self._kinds or kinds

    def draw(self) -> AnyFault:
        """Draw one."""
        weights, draws = zip(*self._kinds, strict=True)
        fault: AnyFault = self._random.choices(draws, weights)[0]()
        return fault

    def draw_storm(self) -> list[tuple[float, AnyFault]]:
        """Draw faults, each with the pause before it: one leader after another is struck.

        What each of them appended is on few nodes, then, and some of them lead again
        (Figures 7 and 8).
        """
        kinds = [
            (5, self._crash_leader),
            (3, self._isolate_leader),
            (1, self._pause_leader),
            (2, self._transfer),
            (1, self._disturb),
            (1, self._crash_at_write),
            (1, self._attach),
            (1, self._detach),
        ]
        weights, draws = zip(*kinds, strict=True)
        pace = self._random.choice((0.02, 0.1, 0.4))
        chosen = self._random.choices(draws, weights, k=self._random.randint(5, 30))
        return [(self._random.expovariate(1 / pace), draw()) for draw in chosen]

    def _crash_leader(self) -> Union[Crash, CrashAtWrite]:
        seconds = self._random.choice((0.02, 0.3, 1.0))
        if self._coin():
            return Crash(LEADER, seconds)
        return CrashAtWrite(LEADER, self._random.randint(1, 3), self._coin(), seconds)

    def _isolate_leader(self) -> Isolate:
        ways = self._random.choice(('both', 'in', 'out'))
        return Isolate(LEADER, self._random.choice((0.3, 1.0, 2.0)), ways)

    def _pause_leader(self) -> Pause:
        return Pause(LEADER, self._random.choice((0.3, 1.0, 2.0)))

    def _name(self) -> str:
        return LEADER if self._random.random() < 0.3 else self._random.choice(self._all)

    def _seconds(self) -> float:
        return self._random.choice((0.05, 0.3, 1.0, 2.5, 5.0)) * self._random.uniform(0.5, 1.5)

    def _coin(self) -> bool:
        return self._random.random() < 0.5

    def _partition(self) -> Partition:
        names = self._random.sample(self._all, len(self._all))
        at = self._random.randint(1, len(names) - 1)
        groups = [names[:at], names[at:]]
        if self._random.random() < 0.3:
            groups[0].append(names[at])  # a bridge
        return Partition(tuple(map(tuple, groups)), self._seconds(), self._coin())

    def _isolate(self) -> Isolate:
        ways = self._random.choice(('both', 'in', 'out'))
        return Isolate(self._name(), self._seconds(), ways, self._coin())

    def _cut_one_way(self) -> CutOneWay:
        source, target = self._random.sample(self._all, 2)
        return CutOneWay(source, target, self._seconds())

    def _disturb(self) -> Disturb:
        drop, duplicate = self._random.choices((0.0, 0.05, 0.3), k=2)
        delay = self._random.choice((0.0, 0.02, 0.2, 1.0))
        return Disturb(Noise(drop, duplicate, delay), self._seconds())

    def _pause(self) -> Pause:
        return Pause(self._name(), self._seconds())

    def _slow_down(self) -> SlowDown:
        return SlowDown(self._name(), self._random.choice((0.005, 0.02, 0.1)), self._seconds())

    def _set_clock_rate(self) -> SetClockRate:
        return SetClockRate(self._random.choice(self._all), self._random.uniform(0.5, 2.0))

    def _crash(self) -> Crash:
        return Crash(self._name(), self._seconds(), with_disk=self._random.random() < 0.93)

    def _stop(self) -> Stop:
        return Stop(self._name(), self._seconds())

    def _crash_at_write(self) -> CrashAtWrite:
        number = self._random.randint(1, 5)
        return CrashAtWrite(self._name(), number, self._coin(), self._seconds())

    def _fail_write(self) -> FailWrite:
        return FailWrite(self._name(), self._coin(), self._seconds())

    def _fill_disk(self) -> FillDisk:
        return FillDisk(self._name(), self._seconds())

    def _slow_disk(self) -> SlowDisk:
        write_time = self._random.choice((0.0, 0.0, 0.005, 0.05, 0.3))
        return SlowDisk(self._random.choice(self._all), write_time)

    def _attach(self) -> Attach:
        return Attach(self._name(), self._random.choice(self._all))

    def _detach(self) -> Detach:
        return Detach(self._name(), self._name())

    def _transfer(self) -> Transfer:
        target = None if self._coin() else self._random.choice(self._all)
        return Transfer(self._name(), target)
