"""Changes that the leader makes for a caller: attach, detach, transfer of leadership.

The outcome is judged from this node's own log and state, not from a leader's word.
"""

from asyncio import FIRST_COMPLETED, Future, timeout_at, wait
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Optional, Union

from consensual.raft import errors
from consensual.raft.core.configuration import Address, NodeId
from consensual.raft.core.log import Reconfiguration
from consensual.raft.core.messages import (
    Accepted,
    ChangeMembership,
    Reason,
    Refused,
    Reply,
    Request,
    Route,
    TransferLeadership,
)
from consensual.raft.driver.applier import Applier
from consensual.raft.driver.engine import Engine
from consensual.raft.errors import (
    AttachFailed,
    ConsensualError,
    NoLeader,
    NotMember,
    OutcomeUnknown,
    TransferFailed,
)


class Changes:
    """The changes that the callers of one run of a node wait for."""

    def __init__(self, engine: Engine, applier: Applier, random: Random) -> None:
        self._engine = engine
        self._applier = applier
        self._random = random
        self._futures: dict[str, Future[None]] = {}
        self._until: list[Future[None]] = []
        self._asked: set[Future[Any]] = set()

    def __repr__(self) -> str:
        return f'Changes({len(self._futures)} waited for)'

    async def change(
        self, attach: Sequence[Address], detach: Sequence[NodeId], timeout: float
    ) -> None:
        """Have nodes attached or detached; return once this node applied C_new."""
        self._engine.refuse_stopped()
        request = f'{self._random.getrandbits(64):016x}'
        future: Future[None] = self._engine.loop.create_future()
        self._futures[request] = future

        def make(route: Route) -> Request:
            return ChangeMembership(route, request, list(attach), list(detach))

        may_be_begun = False
        try:
            async with timeout_at(self._engine.loop.time() + timeout):
                while not future.done():
                    self._refuse_when_detached(may_be_begun)
                    reply = await self._ask_leader(make)
                    _raise_refusal(reply)
                    may_be_begun = may_be_begun or not isinstance(reply, Refused)
                    await wait([future], timeout=self._engine.settings.heartbeat)
                future.result()
                if self._engine.state.id in detach:
                    await self.until(lambda: not self._engine.state.is_attached)
        except TimeoutError:
            raise self._timed_out('the membership change', may_be_begun, timeout) from None
        finally:
            del self._futures[request]
            if not future.cancel() and not future.cancelled():
                future.exception()  # whoever raised something else has seen enough

    async def transfer(self, target: NodeId, timeout: float) -> None:
        """Have the leadership handed over; return once this node knows the new leader."""
        self._engine.refuse_stopped()
        state = self._engine.state
        before = state.leader if not target else None

        def make(route: Route) -> Request:
            return TransferLeadership(route, target)

        def is_done() -> bool:
            leader = state.leader
            return leader == target if target else leader not in (None, before)

        is_accepted = False
        try:
            async with timeout_at(self._engine.loop.time() + timeout):
                while not is_done():
                    self._refuse_when_detached(may_be_begun=False)
                    before = before or state.leader
                    reply = await self._ask_leader(make)
                    is_accepted = is_accepted or isinstance(reply, Accepted)
                    _raise_refusal(reply)
                    if not is_done():
                        await self._until_change(self._engine.settings.heartbeat)
        except TimeoutError:
            if is_accepted:
                raise TransferFailed(
                    f'{target or "the successor"} did not take over within {timeout:g} s'
                ) from None
            raise self._timed_out('the transfer', is_accepted, timeout) from None

    async def until_applied(self, index: int) -> None:
        """Wait until the entry at that index was applied here."""
        state, cluster_id = self._engine.state, self._engine.state.cluster_id
        future: Future[None] = self._engine.loop.create_future()

        def release() -> None:
            if future.done():
                return
            if self._applier.applied_index >= index:
                future.set_result(None)
            else:  # a reset came in between
                self._applier.when_applied(index, release)

        self._asked.add(future)
        self._applier.when_applied(index, release)
        try:
            while not future.done():
                if state.cluster_id != cluster_id or not state.is_attached:
                    raise NotMember(f'{state.id} left its cluster before that was complete')
                changed = self._engine.loop.create_task(self._until_change(None))
                await wait([future, changed], return_when=FIRST_COMPLETED)
                changed.cancel()
            future.result()
        finally:
            self._asked.discard(future)

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait until that is true of the node's role, term, leader or membership."""
        while not is_true():
            await self._until_change(None)

    async def _until_change(self, timeout: Optional[float]) -> None:
        future: Future[None] = self._engine.loop.create_future()
        self._until.append(future)
        try:
            await wait([future], timeout=timeout)
            if future.done():
                future.result()
        finally:
            future.cancel()

    async def _ask_leader(self, make: Callable[[Route], Request]) -> Optional[Reply]:
        """Return the answer; None when there is none, though it may have been heard."""
        leader = self._engine.find_leader()
        if leader is None:
            return Refused(Reason.NOT_LEADER)
        future: Future[Optional[Reply]] = self._engine.loop.create_future()

        def take(_: Request, reply: Optional[Reply]) -> None:
            if not future.done():
                future.set_result(reply)

        self._asked.add(future)
        self._engine.ask(leader, make, take)
        try:
            return await future
        finally:
            self._asked.discard(future)

    def _refuse_when_detached(self, may_be_begun: bool) -> None:
        """Once detached and done applying, this node will see no change of that cluster."""
        state = self._engine.state
        if not state.is_attached and self._applier.applied_index >= state.commit_index:
            if may_be_begun:
                raise OutcomeUnknown(
                    f'{state.id} left the cluster before it saw the change completed: '
                    'ask another member for its status'
                )
            raise NotMember(f'{state.id} is in no cluster: attach it to one, or call solo()')

    def _timed_out(
        self, what: str, may_be_begun: bool, timeout: float
    ) -> Union[OutcomeUnknown, NoLeader]:
        if may_be_begun:
            return OutcomeUnknown(
                f'{what} was asked for but not seen completed within {timeout:g} s; '
                'it may still complete: see the status'
            )
        return NoLeader(f'{what} was not begun: no leader took it up within {timeout:g} s')

    # what the node tells

    def configuration_applied(self, change: Reconfiguration) -> None:
        """Answer who waits for that change."""
        future = self._futures.get(change.request)
        if future is None or future.done():
            return
        if change.failure:
            future.set_exception(AttachFailed(change.failure))
        elif change.configuration.is_stable:
            future.set_result(None)

    def node_changed(self) -> None:
        """Role, term, leader or membership changed."""
        futures, self._until = self._until, []
        for future in futures:
            if not future.done():
                future.set_result(None)

    def end(self, error: ConsensualError) -> None:
        """The node stops."""
        for future in [*self._futures.values(), *self._until, *self._asked]:
            if not future.done():
                future.set_exception(error)


def _raise_refusal(reply: Optional[Reply]) -> None:
    """Raise the error that a refusal names; other refusals are a matter of time."""
    if isinstance(reply, Refused):
        error = getattr(errors, reply.reason, None)
        if isinstance(error, type) and issubclass(error, ConsensualError):
            raise error(reply.detail)
