"""Raft's five properties (Figure 3) under whatever happens to a few cores."""

from random import Random

import pytest

from consensual.raft.core.events import Failed, Woken
from consensual.raft.core.log import Entry
from consensual.raft.core.messages import KINDS, Request, decode_reply, decode_request, encode
from tests.cores import Clock, Core, T, stored

IDS = 'abc'


class Chaos:
    """Three cores; messages wait in any order, are lost and doubled; nodes crash."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = Clock()
        self.cores = {
            id_: Core(id_, stored(id_), clock=self.clock, is_disk_slow=True) for id_ in IDS
        }
        self.under_way: list[tuple[Core, Request]] = []
        self.replies: list[tuple[Core, Request, object]] = []
        self.calls: list[tuple[Core, int, Core, Request]] = []
        self.leaders: dict[int, str] = {}
        self.committed: dict[int, Entry] = {}

    def step(self) -> None:
        """Let one thing happen, then check the invariants."""
        happens = self.random.choices(
            [self.deliver, self.answer, self.persist, self.wake, self.propose, self.crash],
            [30, 30, 25, 12, 8, 0.4],
        )[0]
        happens()
        self.collect()
        self.check()

    def collect(self) -> None:
        for core in self.cores.values():
            self.under_way += [(core, request) for request in core.drain()]
        waiting = []
        for receiver, call, sender, request in self.calls:
            reply = receiver.answers.pop(call, None)
            if reply is None:
                waiting.append((receiver, call, sender, request))
            else:
                self.replies.append((sender, request, encode(reply)))
        self.calls = waiting

    def take(self, items: list) -> tuple:
        """Take one out at random; sometimes it stays there, as a duplicate."""
        index = self.random.randrange(len(items))
        return items[index] if self.random.random() < 0.05 else items.pop(index)

    def deliver(self) -> None:
        if not self.under_way:
            return
        sender, request = self.take(self.under_way)
        if self.random.random() < 0.1:
            if self.is_alive(sender):
                sender.step(Failed(request))
            return
        receiver = self.cores[request.route.receiver]
        call = receiver.call(decode_request(KINDS[type(request)], encode(request)))
        self.calls.append((receiver, call, sender, request))

    def answer(self) -> None:
        if not self.replies:
            return
        sender, request, reply = self.take(self.replies)
        if self.is_alive(sender):
            sender.reply(request, decode_reply(request, reply))

    def persist(self) -> None:
        core = self.cores[self.random.choice(IDS)]
        if core.write is not None:
            core.persist()

    def wake(self) -> None:
        core = self.cores[self.random.choice(IDS)]
        self.clock.now += self.random.random() * T / 4
        if core.deadline is not None and core.deadline <= self.clock.now:
            core.step(Woken())

    def propose(self) -> None:
        core = self.cores[self.random.choice(IDS)]
        core.propose(f'{self.random.random()}')

    def crash(self) -> None:
        id_ = self.random.choice(IDS)
        self.cores[id_] = Core(id_, self.cores[id_].disk, clock=self.clock, is_disk_slow=True)

    def is_alive(self, core: Core) -> bool:
        return self.cores[core.id] is core

    def check(self) -> None:
        for core in self.cores.values():
            if core.role == 'leader':
                first = self.leaders.setdefault(core.state.current_term, core.id)
                assert first == core.id, 'election safety'
                entries = core.entries
                for index, entry in self.committed.items():
                    has_it = index <= len(entries) and entries[index - 1] == entry
                    is_older = core.state.current_term < max(self.leaders)
                    assert has_it or is_older, 'leader completeness'
            for index, entry in core.applied:
                assert self.committed.setdefault(index, entry) == entry, 'state machine safety'
            core.applied.clear()

    def check_log_matching(self) -> None:
        logs = [core.entries for core in self.cores.values()]
        for one in logs:
            for other in logs:
                for index in reversed(range(min(len(one), len(other)))):
                    if one[index].term == other[index].term:
                        assert one[: index + 1] == other[: index + 1], 'log matching'
                        break


@pytest.mark.parametrize('seed', range(12))
def test_figure_3_holds_whatever_happens(seed):
    """One leader per term, matching logs, complete leaders, the same entries applied."""
    chaos = Chaos(seed)
    for number in range(3000):
        chaos.step()
        if number % 50 == 0:
            chaos.check_log_matching()
    assert len(chaos.leaders) >= 2, 'nothing happened'
    assert len(chaos.committed) >= 10, 'nothing was committed'
