"""Linearizable reads: asks the leader for a read index and waits until it is applied.

Reads that come while one is asked for share the next one (thesis §6.4).
"""

from asyncio import Future, TimerHandle
from typing import Optional

from consensual.raft.core.messages import ReadIndex, ReadIndexReply, Reply, Request
from consensual.raft.driver.applier import Applier
from consensual.raft.driver.engine import Engine
from consensual.raft.errors import ConsensualError, LeadershipLost, NoLeader, NotMember


class Reader:
    """The reads of one run of a node."""

    def __init__(self, engine: Engine, applier: Applier) -> None:
        self._engine = engine
        self._applier = applier
        self._gathering: list[Future[None]] = []
        self._asked: list[Future[None]] = []
        self._applying: list[Future[None]] = []
        self._epoch: Optional[tuple[int, str]] = None
        self._retry: Optional[TimerHandle] = None

    def __repr__(self) -> str:
        return f'Reader({len(self._gathering) + len(self._asked)} waiting)'

    async def ensure_linearizable(self, timeout: float) -> None:
        """Wait until this node's state reflects every command completed before the call."""
        loop = self._engine.loop
        future: Future[None] = loop.create_future()
        timer = loop.call_later(timeout, self._expire, future, timeout)
        self._gathering.append(future)
        self._engine.schedule()
        try:
            await future
        finally:
            timer.cancel()

    def contribute(self) -> None:
        """Ask the leader on behalf of everyone who gathered; again under another leader."""
        if not self._gathering and not self._asked:
            return
        state = self._engine.state
        if not state.is_attached:
            return self.end(
                NotMember(f'{state.id} is in no cluster: attach it to one, or call solo()')
            )
        leader = self._engine.find_leader()
        if leader is None:
            return None
        epoch = state.current_term, leader.id
        if self._asked and epoch != self._epoch:
            self._ask_again()
        self._gathering = [future for future in self._gathering if not future.done()]
        if self._asked or self._retry is not None or not self._gathering:
            return None
        self._epoch = epoch
        self._asked, self._gathering = self._gathering, []
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
        ready, self._asked = self._asked, []
        self._applying += ready

        def release() -> None:
            for future in ready:
                if not future.done():
                    future.set_result(None)
            self._applying = [future for future in self._applying if not future.done()]

        self._applier.when_applied(reply.index, release)
        if self._gathering:
            self._engine.schedule()

    def _ask_again(self) -> None:
        self._gathering = self._asked + self._gathering
        self._asked = []

    def _retry_now(self) -> None:
        self._retry = None
        self._engine.schedule()

    def _expire(self, future: 'Future[None]', timeout: float) -> None:
        error: ConsensualError
        if self._engine.find_leader() is None:
            error = NoLeader(f'no leader was found within {timeout:g} s, so nothing can be read')
        else:
            error = LeadershipLost(
                f'no leader confirmed within {timeout:g} s that it still leads, '
                'so a read could be stale'
            )
        if not future.done():
            future.set_exception(error)

    def end(self, error: ConsensualError) -> None:
        """Nobody will answer any more."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for future in self._gathering + self._asked + self._applying:
            if not future.done():
                future.set_exception(error)
        self._gathering, self._asked, self._applying = [], [], []
