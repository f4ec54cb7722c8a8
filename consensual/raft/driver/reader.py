"""Linearizable reads: asks the leader for a read index and waits until it is applied.

Reads that come while one is asked for share the next one (thesis §6.4).
"""

from asyncio import Future, TimerHandle
from collections import deque
from typing import Optional

from consensual.raft.core.messages import ReadIndex, ReadIndexReply, Reply, Request
from consensual.raft.driver.applier import Applier
from consensual.raft.driver.deadlines import Deadlines
from consensual.raft.driver.engine import Engine
from consensual.raft.errors import (
    ConsensualError,
    LeadershipLost,
    NoLeader,
    NotMember,
    Overloaded,
)


class _Read:
    """One caller who waits, to see one cluster; `index` is where to be, once that is known."""

    __slots__ = 'cluster_id', 'deadline', 'future', 'index', 'timeout'

    def __init__(self, cluster_id: str, future: 'Future[None]', timeout: float) -> None:
        self.cluster_id = cluster_id
        self.future = future
        self.timeout = timeout
        self.deadline = future.get_loop().time() + timeout
        self.index: Optional[int] = None


_Batch = dict[_Read, None]
"""Reads that share a round, in the order in which they came."""


class Reader:
    """The reads of one run of a node.

    They gather, are asked for together, and then wait to be applied.
    """

    def __init__(self, engine: Engine, applier: Applier) -> None:
        self._engine = engine
        self._applier = applier
        self._gathering: _Batch = {}
        self._asked: _Batch = {}
        self._applying: deque[tuple[int, _Batch]] = deque()
        self._is_watching = False
        self._cluster_id = ''
        self._epoch: Optional[tuple[int, str]] = None
        self._retry: Optional[TimerHandle] = None
        self._deadlines: Deadlines[_Read] = Deadlines(engine.loop, self._expire)

    def __repr__(self) -> str:
        return f'Reader({len(self._gathering) + len(self._asked)} waiting)'

    async def ensure_linearizable(self, timeout: float) -> None:
        """Wait until this node's state reflects every command completed before the call."""
        self._engine.refuse_stopped()
        cluster_id = self._engine.state.cluster_id
        read = _Read(cluster_id, self._engine.loop.create_future(), timeout)
        self._deadlines.add(read, timeout)
        self._gathering[read] = None
        self._engine.schedule()
        try:
            await read.future
        finally:
            self._gathering.pop(read, None)
            self._asked.pop(read, None)

    def contribute(self) -> None:
        """Ask the leader on behalf of everyone who gathered; again under another leader."""
        state = self._engine.state
        if not state.is_attached:
            return self._fail_all(
                NotMember(f'{state.id} is in no cluster: attach it to one, or call solo()')
            )
        if state.cluster_id != self._cluster_id:
            self._cluster_id = state.cluster_id
            if any(read.cluster_id != state.cluster_id for read in self._reads):
                self._fail_all(NotMember(f'{state.id} came into another cluster meanwhile'))
        if not (self._gathering or self._asked):
            return None
        leader = self._engine.find_leader()
        if leader is None:
            return None
        epoch = state.current_term, leader.id
        if self._asked and epoch != self._epoch:
            self._ask_again()
        if self._asked or self._retry is not None or not self._gathering:
            return None
        self._epoch = epoch
        self._asked, self._gathering = self._gathering, {}
        asked = self._asked

        def take(_: Request, reply: Optional[Reply]) -> None:
            if self._asked is asked:
                self._take_reply(reply)

        self._engine.ask(leader, ReadIndex, take)
        return None

    def _take_reply(self, reply: Optional[Reply]) -> None:
        if not isinstance(reply, ReadIndexReply):
            self._ask_again()
            if self._retry is None:
                self._retry = self._engine.loop.call_later(
                    self._engine.settings.heartbeat, self._retry_now
                )
            return
        batch, self._asked = self._asked, {}
        for read in batch:
            read.index = reply.index
        while self._applying and all(read.future.done() for read in self._applying[0][1]):
            self._applying.popleft()
        self._applying.append((reply.index, batch))
        self._release_applied()
        if self._gathering:
            self._engine.schedule()

    def _release_applied(self) -> None:
        """Let the reads go whose index is applied; be called for the next one."""
        while self._applying and self._applying[0][0] <= self._applier.applied_index:
            for read in self._applying.popleft()[1]:
                if not read.future.done():
                    read.future.set_result(None)
        if self._applying and not self._is_watching:
            self._is_watching = True
            self._applier.when_applied(self._applying[0][0], self._watched)

    def _watched(self) -> None:
        self._is_watching = False
        self._release_applied()

    def _ask_again(self) -> None:
        self._gathering = self._asked | self._gathering
        self._asked = {}

    def _retry_now(self) -> None:
        self._retry = None
        self._engine.schedule()

    def _expire(self, read: _Read) -> None:
        seconds = f'{read.timeout:g} s'
        error: ConsensualError
        if read.index is not None:
            error = Overloaded(
                f'this node lags behind: it has not applied entry {read.index} within {seconds}'
            )
        elif self._engine.find_leader() is None:
            error = NoLeader(f'no leader was found within {seconds}, so nothing can be read')
        else:
            error = LeadershipLost(
                f'no leader confirmed within {seconds} that it still leads, '
                'so a read could be stale'
            )
        read.future.set_exception(error)

    @property
    def _reads(self) -> list[_Read]:
        """All that wait."""
        batches = [self._gathering, self._asked, *(batch for _, batch in self._applying)]
        return [read for batch in batches for read in batch]

    def _fail_all(self, error: ConsensualError) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        reads = self._reads
        self._gathering, self._asked = {}, {}
        self._applying.clear()
        self._is_watching = False
        self._deadlines.clear()
        for read in reads:
            if not read.future.done():
                read.future.set_exception(error)

    def end(self, error: ConsensualError) -> None:
        """The node stops."""
        self._fail_all(error)
