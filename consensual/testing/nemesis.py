"""The nemesis: draws from a seed what befalls a cluster, and when; and lets it happen.

A schedule is data: it can be printed, saved, replayed and shrunk.
"""

from collections.abc import Callable, Sequence
from random import Random

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
    TakeSnapshot,
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
    storms = random.choice((0.0, 0.1, 0.4))
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
        self._share_of_leaders = random.choice((0.1, 0.3, 0.8))
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
            (2, self._take_snapshot),
        ]
        self._kinds = [(weight, draw) for weight, draw in kinds if random.random() < 0.7]
        self._kinds = self._kinds or kinds

    def draw(self) -> AnyFault:
        """Draw one."""
        weights, draws = zip(*self._kinds, strict=True)
        fault: AnyFault = self._random.choices(draws, weights)[0]()
        return fault

    def draw_storm(self) -> list[tuple[float, AnyFault]]:
        """Draw plots, one upon the other; each fault with the pause before it.

        What each leader appended is on few nodes, then, and some of them lead again
        (Figures 7 and 8).
        """
        plots: list[tuple[int, Callable[[], list[AnyFault]]]] = [
            (5, self._leader_crashes),
            (4, self._leader_is_cut_off),
            (2, self._leader_is_frozen),
            (2, self._successor_is_asleep),
            (1, self._election_is_slow),
            (1, self._newcomer_is_late),
            (2, self._one_is_left_behind),
            (3, self._anything),
        ]
        weights, draws = zip(*plots, strict=True)
        pace = self._random.choice((0.05, 0.3, 0.8))
        storm: list[tuple[float, AnyFault]] = []
        for draw in self._random.choices(draws, weights, k=self._random.randint(4, 16)):
            pause = self._random.expovariate(1 / pace)
            for fault in draw():
                storm.append((pause, fault))
                pause = 0.01 * self._random.random()
        return storm

    def _outage(self) -> float:
        """Draw seconds: too short to be noticed, or longer than an election."""
        return self._random.choice((0.03, 1.0, 2.0)) * self._random.uniform(0.5, 1.5)

    def _leader_crashes(self) -> list[AnyFault]:
        if self._coin():
            return [Crash(LEADER, self._outage())]
        number = self._random.randint(1, 3)
        return [CrashAtWrite(LEADER, number, self._coin(), self._outage())]

    def _leader_is_cut_off(self) -> list[AnyFault]:
        ways = self._random.choice(('both', 'in', 'out'))
        return [Isolate(LEADER, self._outage(), ways)]

    def _leader_is_frozen(self) -> list[AnyFault]:
        """It wakes up and hears nothing but what it was told before (thesis §6.4)."""
        return [Pause(LEADER, self._outage()), Isolate(LEADER, 2.0 + self._outage())]

    def _successor_is_asleep(self) -> list[AnyFault]:
        """It takes over when the leader has long gone on (thesis §3.10)."""
        successor = self._random.choice(self._all)
        return [Pause(successor, self._outage()), Transfer(LEADER, successor)]

    def _election_is_slow(self) -> list[AnyFault]:
        """Requests and votes arrive when their terms are over (§5.1)."""
        noise = Noise(duplicate=0.3, delay=1.0)
        return [Disturb(noise, 2.0 + self._outage()), Crash(LEADER, self._outage())]

    def _newcomer_is_late(self) -> list[AnyFault]:
        """It is back when it is asked who it is, and nobody has reset it."""
        newcomer = self._random.choice(self._all)
        return [Crash(newcomer, 0.5 * self._random.random()), Attach(LEADER, newcomer)]

    def _one_is_left_behind(self) -> list[AnyFault]:
        """What it lacks is compacted away while it is gone, or while it is sent that (§7)."""
        name = self._random.choice(self._names)
        if self._coin():
            return [TakeSnapshot(LEADER), Crash(name, self._outage(), with_disk=self._coin())]
        return [TakeSnapshot(LEADER), Isolate(name, self._outage())]

    def _anything(self) -> list[AnyFault]:
        draws = (
            self._crash_at_write,
            self._transfer,
            self._attach,
            self._detach,
            self._take_snapshot,
        )
        return [self._random.choice(draws)()]

    def _name(self) -> str:
        is_leader = self._random.random() < self._share_of_leaders
        return LEADER if is_leader else self._random.choice(self._all)

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

    def _take_snapshot(self) -> TakeSnapshot:
        return TakeSnapshot(self._name())
