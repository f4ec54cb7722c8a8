"""What operators have a node do: found, grow and leave a cluster, hand the leadership over.

Typed errors all the way; what a change of membership takes is `changes`.
"""

from collections.abc import Awaitable, Collection
from typing import Optional

from yarl import URL

from consensual.raft.core.events import LeaveRequested, ResetRequested, SoloRequested
from consensual.raft.core.state import Settings
from consensual.raft.driver.addresses import address_of
from consensual.raft.driver.applier import Applier, refuse_inside_processor
from consensual.raft.driver.arguments import CHANGE_TIMEOUT, checked
from consensual.raft.driver.between import call_between_commands
from consensual.raft.driver.life import Life, Run
from consensual.raft.errors import (
    AlreadyMember,
    ConsensualError,
    InvalidParameters,
    NotMember,
    OutcomeUnknown,
)


class Operations:
    """The operations of a node that return None or error text there, and raise here.

    Each returns when the thing is done, committed, and applied on this node.
    """

    def __init__(self, url: URL, life: Life, applier: Applier, settings: Settings) -> None:
        self._url = url
        self._life = life
        self._applier = applier
        self._settings = settings

    def __repr__(self) -> str:
        return f'Operations({self._url})'

    async def solo(self) -> None:
        """Leave whatever cluster this is and lead a new one, alone. See `Node.solo`."""
        run = await self._running('solo')
        run.engine.step_now(SoloRequested())
        await _seen(run.changes.until_applied(run.engine.state.log.last_index), 'solo')

    async def attach_nodes(self, urls: Collection[URL], *, timeout: float = CHANGE_TIMEOUT) -> None:
        """Make voters of new or reset nodes. See `Node.attach_nodes`.

        timeout: seconds.

        Raises `InvalidParameters`, `InvalidAddress`, `AlreadyMember`, `NodeUnreachable`,
        `NodeNotEmpty`, `AttachFailed`, `MembershipChangeInProgress`, `NoLeader`, `NotMember`,
        and `OutcomeUnknown` when it was begun but not seen completed.
        """
        await self._change(urls, (), timeout)

    async def detach_nodes(self, urls: Collection[URL], *, timeout: float = CHANGE_TIMEOUT) -> None:
        """Remove members. Raises what `attach_nodes` raises, as far as it can befall it."""
        await self._change((), urls, timeout)

    async def leave(self, *, timeout: float = CHANGE_TIMEOUT) -> None:
        """Leave the cluster and keep the history; the last member ends the cluster by that.

        Raises `NotMember` on a node that is in none, and what `detach_nodes` raises.
        """
        run = await self._running('leave')
        state = run.engine.state
        if not state.is_attached:
            raise NotMember(f'{state.id} is in no cluster; reset it to erase its history')
        if state.configuration.members != (state.me,):
            return await self._change((), (self._url,), timeout)
        run.engine.step_now(LeaveRequested())
        await _seen(run.engine.until_durable(), 'the end of the cluster')

    async def reset(self) -> None:
        """Erase the history of a detached node, which may then be attached to any cluster.

        Raises `AlreadyMember` on a member, of which nothing is erased.
        """
        run = await self._running('reset')
        state = run.engine.state
        if state.is_attached:
            raise AlreadyMember(f'{state.id} is a member of a cluster: detach it first')
        run.engine.step_now(ResetRequested())
        await _seen(self._until_reset(run), 'the reset')

    async def _until_reset(self, run: Run) -> None:
        await run.engine.until_durable()
        await call_between_commands(self._applier, lambda: None)
        await run.engine.until_durable()

    async def transfer_leadership(self, url: Optional[URL] = None) -> None:
        """Have the leadership handed to a voter, the best one unless named.

        Raises `TransferFailed`, `NoLeader`, `NotMember`.
        """
        run = await self._running('transfer_leadership')
        target = address_of(url).id if url is not None else ''
        await run.changes.transfer(target, 2 * self._settings.election_timeout)

    async def take_snapshot(self) -> None:
        """Have the log compacted now. See `Node.take_snapshot`."""
        run = await self._running('take_snapshot')
        await run.snapshotter.take()

    async def _running(self, call: str) -> Run:
        run = await self._life.running()
        refuse_inside_processor(call)
        return run

    async def _change(
        self, attached: Collection[URL], detached: Collection[URL], timeout: float
    ) -> None:
        run = await self._running('a membership change')
        if not attached and not detached:
            raise InvalidParameters('name at least one node')
        attach = {address.id: address for address in map(address_of, attached)}
        detach = {address.id: address for address in map(address_of, detached)}
        await run.changes.change(list(attach.values()), list(detach), checked(timeout))


async def _seen(done: Awaitable[None], what: str) -> None:
    """Wait for what was begun; whatever comes in between, it may be done all the same."""
    try:
        await done
    except ConsensualError as error:
        raise OutcomeUnknown(f'{what} was begun, and may be done or not: {error}') from error
