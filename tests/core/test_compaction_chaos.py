"""Whole clusters under all that can happen to them, compacted at any moment (§5.4.3, §7)."""

from random import Random

import pytest

from tests.core_snapshots import SnapshotCluster, SnapshotCore
from tests.cores import ATTACH_TIMEOUT, HEARTBEAT, T


class Chaos:
    """A cluster of five and what befalls it, by chance.

    seen: what was applied up to an index, wherever that was seen first.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.cluster = SnapshotCluster({id_: [1] for id_ in 'abcde'})
        self.seen: dict[int, list[str]] = {}
        self.count = 0
        self.life = 1

    def live(self, steps: int) -> None:
        deeds = (
            [self.propose] * 6
            + [self.compact] * 4
            + [self.pass_time] * 6
            + [self.cut, self.heal, self.heal, self.restart, self.slow_down, self.speed_up]
        )
        for _ in range(steps):
            self.random.choice(deeds)()
            self.check()

    def check(self) -> None:
        """State Machine Safety: nobody applies anything else at the same index (Figure 3)."""
        for core in self.cores:
            texts = self.seen.setdefault(core.applied_index, [*core.texts])
            assert core.texts == texts, core
            assert core.state.log.base_index <= core.state.commit_index
            assert core.state.snapshot_index <= core.state.commit_index

    @property
    def cores(self) -> list[SnapshotCore]:
        return [self.cluster[id_] for id_ in self.cluster.cores]

    def any(self) -> SnapshotCore:
        return self.random.choice(self.cores)

    def propose(self) -> None:
        for core in self.cores:
            if core.role == 'leader':
                core.propose(
                    *[f'{self.count + place}' for place in range(self.random.randrange(5))]
                )
                self.count += 5
        if self.random.random() < 0.7:
            self.cluster.settle()

    def compact(self) -> None:
        core = self.any()
        core.step(core.capture(self.random.randrange(200)))

    def pass_time(self) -> None:
        self.cluster.run(self.random.choice([HEARTBEAT, T, 3 * T]))
        self.cluster.give_up()

    def cut(self) -> None:
        ids = [*self.cluster.cores]
        for _ in range(self.random.randrange(6)):
            self.cluster.cut.add((self.random.choice(ids), self.random.choice(ids)))
        if self.random.random() < 0.5:
            self.cluster.mail = lambda requests: [
                item for item in requests if self.random.random() < 0.8
            ]

    def heal(self) -> None:
        self.cluster.heal()
        self.cluster.mail = list
        self.cluster.give_up()

    def restart(self) -> None:
        self.cluster.crash(self.any().id)

    def slow_down(self) -> None:
        self.any().is_disk_slow = True

    def speed_up(self) -> None:
        for core in self.cores:
            core.is_disk_slow = False
            if core.write is not None:
                core.persist()
        self.cluster.settle()

    def lose(self) -> None:
        self.life += 1
        self.cluster.lose(self.any().id, self.life)

    def end_well(self) -> None:
        """All links mended, everybody comes to the same state, and a command goes through."""
        self.heal()
        self.speed_up()
        self.cluster.run(2 * ATTACH_TIMEOUT)
        (leader,) = [core for core in self.cores if core.role == 'leader']
        leader.propose('the end')
        self.cluster.settle()
        self.cluster.run(2 * T)
        self.check()
        assert leader.texts[-1] == '"the end"'
        for core in self.cores:
            if core.state.is_attached:
                assert core.texts == leader.texts, core


@pytest.mark.parametrize('seed', range(16))
def test_compaction_at_any_moment_changes_nothing_that_is_applied(seed):
    """Lost messages, partitions, slow disks and crashes, which lose what was not durable."""
    chaos = Chaos(seed)
    chaos.live(120)
    chaos.end_well()
    assert all(core.state.is_attached for core in chaos.cores)
    assert any(core.restored for core in chaos.cores) or chaos.count < 100


@pytest.mark.parametrize('seed', range(8))
def test_members_that_lose_their_data_come_back(seed):
    """One at a time, with time enough to be taken in again."""
    chaos = Chaos(seed)
    chaos.live(20)
    for _ in range(6):
        chaos.end_well()
        chaos.lose()
        chaos.live(chaos.random.randrange(3))
        chaos.heal()
        chaos.cluster.run(8 * T)
        chaos.check()
    chaos.end_well()
    leader = next(core for core in chaos.cores if core.role == 'leader')
    assert leader.state.configuration.is_stable
    assert len(leader.state.configuration.voters) >= 3
