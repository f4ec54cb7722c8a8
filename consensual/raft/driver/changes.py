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
    Refused,
    Reply,
    Request,
    Route,
    TransferLeadership,
)
from consensual.raft.driver.applier import Applier
from consensual.raft.driver.engine import Engine
from consensual.raft.errors import (
    AlreadyMember,
    AttachFailed,
    ConsensualError,
    MembershipChangeInProgress,
    NodeStopped,
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

        asking = _Asking('the membership change', self._engine.state.cluster_id)
        try:
            async with timeout_at(self._engine.loop.time() + timeout):
                while not future.done():
                    self._refuse_elsewhere(asking)
                    await self._ask_leader(make, asking)
                    await wait([future], timeout=self._engine.settings.heartbeat)
                self._refuse_moved(asking)
                future.result()
                if self._engine.state.id in detach:
                    await self.until(lambda: not self._engine.state.is_attached)
        except TimeoutError:
            raise asking.timed_out(timeout) from None
        except _Ended as ended:
            raise asking.ended(ended.error) from None
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

        asking = _Asking('the transfer', state.cluster_id)

        def is_done() -> bool:
            """Who leads already says so itself; what this node heard may be of the past."""
            leader = state.leader
            return (
                asking.is_accepted and leader == target if target else leader not in (None, before)
            )

        term = state.current_term
        try:
            async with timeout_at(self._engine.loop.time() + timeout):
                while not is_done():
                    self._refuse_elsewhere(asking)
                    if before is None:
                        before, term = state.leader, state.current_term
                    await self._ask_leader(make, asking)
                    if not is_done():
                        await self._until_change(self._engine.settings.heartbeat)
        except TimeoutError:
            if asking.is_accepted and state.leader is not None and state.current_term == term:
                raise TransferFailed(
                    f'{target or "the successor"} did not take over within {timeout:g} s'
                ) from None
            raise asking.timed_out(timeout) from None
        except _Ended as ended:
            raise asking.ended(ended.error) from None

    async def until_applied(self, index: int) -> None:
        """Wait until the entry at that index was applied here. Raises why the node stopped."""
        self._engine.refuse_stopped()
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
        except _Ended as ended:
            raise ended.error from None
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

    async def _ask_leader(self, make: Callable[[Route], Request], asking: '_Asking') -> None:
        """Ask, if there is a leader. Raises what it refuses for good."""
        leader = self._engine.find_leader()
        if leader is None:
            return
        future: Future[Optional[Reply]] = self._engine.loop.create_future()

        def take(_: Request, reply: Optional[Reply]) -> None:
            if not future.done():
                future.set_result(reply)

        self._asked.add(future)
        was_heard, asking.may_be_heard = asking.may_be_heard, True
        self._engine.ask(leader, make, take)
        try:
            reply = await future
        finally:
            self._asked.discard(future)
        if isinstance(reply, Accepted):
            asking.is_accepted = True
        elif isinstance(reply, Refused) and reply.reason != NodeStopped.__name__:
            asking.may_be_heard = was_heard
            asking.refuse(reply)
        else:
            asking.is_unanswered = True

    def _refuse_elsewhere(self, asking: '_Asking') -> None:
        """Once detached and done applying, this node will see no change of that cluster."""
        self._refuse_moved(asking)
        state = self._engine.state
        if not state.is_attached and self._applier.applied_index >= state.commit_index:
            if asking.may_be_heard:
                raise OutcomeUnknown(
                    f'{state.id} left the cluster before it saw the change completed: '
                    'ask another member for its status'
                )
            raise NotMember(f'{state.id} is in no cluster: attach it to one, or call solo()')

    def _refuse_moved(self, asking: '_Asking') -> None:
        """What is asked of one cluster is nothing to another one, into which this node came."""
        state = self._engine.state
        if state.is_attached and state.cluster_id != asking.cluster_id:
            raise asking.ended(NotMember(f'{state.id} came into another cluster meanwhile'))

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
                future.set_exception(_Ended(error))


class _Ended(Exception):
    """The node stopped, by that error, while somebody waited."""

    def __init__(self, error: ConsensualError) -> None:
        super().__init__(str(error))
        self.error = error


class _Asking:
    """What is asked of leaders until it is seen done, and what they may have made of it.

    cluster_id: of the cluster that it is about.
    may_be_heard: a leader may have begun it, or may begin it yet.
    is_unanswered: one of those asked gave no answer.
    """

    def __init__(self, what: str, cluster_id: str) -> None:
        self.what = what
        self.cluster_id = cluster_id
        self.may_be_heard = self.is_accepted = self.is_unanswered = False

    def refuse(self, refusal: Refused) -> None:
        """Raise the error that a refusal names; other refusals are a matter of time.

        What is in the way of it now may not have been when an earlier leader was asked.
        """
        kind = getattr(errors, refusal.reason, None)
        if not (isinstance(kind, type) and issubclass(kind, ConsensualError)):
            return
        error = kind(refusal.detail)
        if self.is_unanswered and isinstance(error, _OF_THE_MOMENT):
            raise self.ended(error)
        raise error

    def ended(self, error: ConsensualError) -> ConsensualError:
        """Return what to raise where no more is seen of it, for that reason."""
        if not self.may_be_heard:
            return error
        return OutcomeUnknown(
            f'{self.what} was asked for and may complete, or not: {error}; see the status'
        )

    def timed_out(self, seconds: float) -> Union[OutcomeUnknown, NoLeader]:
        """Return what to raise when it was not seen done in time."""
        if self.may_be_heard:
            return OutcomeUnknown(
                f'{self.what} was asked for but not seen completed within {seconds:g} s; '
                'it may still complete: see the status'
            )
        return NoLeader(f'{self.what} was not begun: no leader took it up within {seconds:g} s')


_OF_THE_MOMENT = AlreadyMember, MembershipChangeInProgress, NotMember
"""Refusals that tell how things stand, not that a request has failed."""
