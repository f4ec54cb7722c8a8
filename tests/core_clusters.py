"""Several cores and the network between them; one core alone is in `cores`."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Optional

from consensual.raft.core.configuration import Configuration
from consensual.raft.core.effects import HardState, Stored
from consensual.raft.core.events import Failed
from consensual.raft.core.messages import (
    KINDS,
    Reply,
    Request,
    decode_reply,
    decode_request,
    encode,
)
from consensual.raft.core.state import Settings
from tests.cores import SETTINGS, Clock, Core, T, stored


class Cluster:
    """Cores that reach each other, but for the links that are cut.

    A request over a cut link fails; so does one whose answer is cut off.
    """

    def __init__(
        self,
        logs: Mapping[str, Sequence[int]],
        *,
        voters: str = '',
        terms: Optional[Mapping[str, int]] = None,
        settings: Settings = SETTINGS,
        configurations: Optional[Mapping[int, Configuration]] = None,
        commit_index: int = 0,
    ) -> None:
        self.clock = Clock()
        self.settings = settings
        self.cut: set[tuple[str, str]] = set()
        self.trace: list[Request] = []
        self._waiting: dict[tuple[str, int], tuple[Core, Request]] = {}
        self.cores: dict[str, Core] = {}
        for id_, log in logs.items():
            disk = stored(
                id_,
                log,
                term=(terms or {}).get(id_, 0),
                voters=voters or ''.join(logs),
                configurations=configurations,
            )
            self.cores[id_] = self._core(id_, disk, commit_index)

    def __getitem__(self, id_: str) -> Core:
        return self.cores[id_]

    def _core(self, id_: str, disk: Optional[Stored], commit_index: int = 0) -> Core:
        return Core(id_, disk, settings=self.settings, commit_index=commit_index, clock=self.clock)

    def add(self, ids: str) -> None:
        """Let new, empty nodes come up; their lives are numbered by themselves."""
        for id_ in ids:
            self.cores[id_] = self._core(id_, None)

    def restart(self, id_: str, *, is_memory_lost: bool = False) -> None:
        """Let a node come back with what its storage holds, or empty in its second life."""
        disk = Stored(HardState(f'{id_}2')) if is_memory_lost else self.cores[id_].disk
        self.cores[id_] = self._core(id_, disk)

    def isolate(self, ids: str) -> None:
        """Cut all the links between those nodes and the others."""
        for one, other in itertools.product(ids, self.cores.keys() - set(ids)):
            self.cut |= {(one, other), (other, one)}

    def heal(self) -> None:
        """Mend all links."""
        self.cut.clear()

    def settle(self) -> None:
        """Carry messages until there are none."""
        for _ in range(10_000):
            if not self._exchange():
                return
        raise AssertionError('the cores never come to rest')

    def _exchange(self) -> bool:
        requests = [(core, request) for core in self.cores.values() for request in core.drain()]
        for sender, request in requests:
            self._carry(sender, request)
        answered = [
            (key, reply)
            for key in self._waiting
            if (reply := self.cores[key[0]].answers.pop(key[1], None)) is not None
        ]
        for key, reply in answered:
            self._carry_back(key[0], *self._waiting.pop(key), reply)
        return bool(requests or answered)

    def _carry(self, sender: Core, request: Request) -> None:
        self.trace.append(request)
        receiver = request.route.receiver
        if (sender.id, receiver) in self.cut or receiver not in self.cores:
            return sender.step(Failed(request))
        decoded = decode_request(KINDS[type(request)], encode(request))
        call = self.cores[receiver].call(decoded)
        self._waiting[receiver, call] = sender, request
        return None

    def _carry_back(self, receiver: str, sender: Core, request: Request, reply: Reply) -> None:
        if self.cores[sender.id] is not sender:
            return
        if (receiver, sender.id) in self.cut:
            sender.step(Failed(request))
        else:
            sender.reply(request, decode_reply(request, encode(reply)))

    def run(self, seconds: float) -> None:
        """Let time pass, waking the cores at their deadlines."""
        end = self.clock.now + seconds
        for _ in range(100_000):
            due = [core for core in self.cores.values() if (core.deadline or end) < end]
            if not due:
                break
            min(due, key=lambda core: core.deadline or end).time_out()
            self.settle()
        else:
            raise AssertionError('time stands still')
        self.clock.now = end

    def elect(self, id_: str) -> Core:
        """Let that node time out long after anybody heard a leader; return it as the leader.

        Again, should it learn of a later term at first.
        """
        for _ in range(3):
            if self[id_].role != 'leader':
                self.clock.now += 2 * T
                self[id_].time_out()
                self.settle()
        assert self[id_].role == 'leader', self.cores
        return self[id_]

    def roles(self) -> dict[str, str]:
        """Return the roles of all."""
        return {id_: core.role for id_, core in self.cores.items()}

    def voters(self, id_: str) -> str:
        """Return the names of the voters that a node knows."""
        return ''.join(voter.id for voter in self[id_].state.configuration.voters)
