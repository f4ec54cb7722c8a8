"""The engine: owns the core, steps it once per turn of the loop, carries out its effects.

Holds no rule of Raft: it moves events in and effects out, in their order.
"""

import logging
from asyncio import (
    AbstractEventLoop,
    CancelledError,
    Future,
    Task,
    TimerHandle,
    ensure_future,
    wait,
)
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from functools import partial
from random import Random
from typing import Any, Optional, Protocol, TypeVar, Union

from consensual.raft.core.configuration import Address, Member
from consensual.raft.core.effects import Effects, Stored, Write
from consensual.raft.core.events import Event, Failed, Persisted, Received, Replied, Woken
from consensual.raft.core.membership import contacts, contacts_key
from consensual.raft.core.messages import (
    Refused,
    Reply,
    Request,
    Route,
    decode_request,
    encode,
)
from consensual.raft.core.raft import Raft
from consensual.raft.core.state import Settings, State
from consensual.raft.driver.applier import Applier
from consensual.raft.driver.cancellation import is_being_cancelled
from consensual.raft.driver.meter import Meter
from consensual.raft.driver.peers import OnReply, Peers
from consensual.raft.driver.ports import MessageKind, Sender, Staging, Storage
from consensual.raft.driver.recording import Beginning, RecordedRaft, Recorder
from consensual.raft.errors import (
    ConsensualError,
    InvariantViolated,
    NodeStopped,
    SnapshotUnsupported,
    StorageError,
    StorageFailed,
    StorageMismatch,
)

Result = TypeVar('Result')


class Contributor(Protocol):
    """A part of the driver that has its say in every turn."""

    def contribute(self) -> None:
        """Put in what waits, before the core is stepped."""


class Waiting(Protocol):
    """A part of the driver that callers wait in."""

    def end(self, error: ConsensualError) -> None:
        """The engine stops: fail what waits."""


class Engine:
    """One run of a node, from its start to its stop.

    recovered_index: the last entry that the storage had at the start.
    on_change: called after a turn that changed role, term, leader or membership.
    on_failure: called once, when the engine stops by an error.
    """

    def __init__(  # noqa: PLR0913 - the node's parts meet here
        self,
        address: Address,
        *,
        settings: Settings,
        random: Random,
        loop: AbstractEventLoop,
        sender: Sender,
        storage: Storage,
        applier: Applier,
        recorder: Optional[Recorder],
        meter: Meter,
        logger: logging.Logger,
        on_change: Callable[[], None],
        on_failure: Callable[[ConsensualError], None],
    ) -> None:
        self.loop = loop
        self.settings = settings
        self.meter = meter
        self.contributors: Sequence[Contributor] = ()
        self.waiting: Sequence[Waiting] = ()
        self.recovered_index = 0
        self._address = address
        self._random = random
        self._context = copy_context()  # not that of whoever happens to call
        self._storage = storage
        self._applier = applier
        self._recorder = recorder
        self._logger = logger
        self._on_change = on_change
        self._on_failure = on_failure
        self._peers = Peers(sender, settings.election_timeout, loop, logger)
        self._raft: Optional[Union[Raft, RecordedRaft]] = None
        self._inbox: list[Event] = []
        self._calls: dict[int, Callable[[Reply], None]] = {}
        self._last_call = 0
        self._until_durable: list[Future[None]] = []
        self._is_scheduled = False
        self._deadline: Optional[float] = None
        self._timer: Optional[TimerHandle] = None
        self._writing: Optional[Future[None]] = None
        self._staging: Optional[Task[None]] = None
        self._shown: object = None
        self._reachable: object = None
        self._stopped_by: Optional[ConsensualError] = None

    def __repr__(self) -> str:
        return f'Engine({self._raft!r})'

    # the life of an engine

    async def start(self) -> None:
        """Recover from the storage and begin."""
        self._applier.start(self.loop)
        try:
            stored = await _result(self._storage.load())
        except OSError as error:
            raise StorageFailed(f'the storage cannot be read: {error!r}') from error
        seed = self._random.getrandbits(64)
        try:
            if stored is not None:
                self._check_owner(stored)
                self._check_restorable(stored)
            beginning = Beginning(self._address, self.settings, seed, stored, self.loop.time())
            self._raft = (
                beginning.make()
                if self._recorder is None
                else RecordedRaft(beginning, self._recorder)
            )
        except BaseException:
            await _result(self._storage.close())
            raise
        self.recovered_index = self._raft.state.log.last_index
        if stored is not None and stored.snapshot is not None:
            self._applier.announce(stored.snapshot)
        self.schedule()

    def _check_owner(self, stored: Stored) -> None:
        owner, me = stored.hard_state.node_id, self._address
        if owner and owner != me.id:
            raise StorageMismatch(
                f'{self._storage!r} holds the data of {owner}, and {me.id} wanted to start with '
                f'them: give it a storage of its own; or, to make them those of {me.id} on '
                f'purpose: python -m consensual storage readdress PATH {me.url}'
            )

    def _check_restorable(self, stored: Stored) -> None:
        if stored.snapshot is not None and not self._applier.can_snapshot:
            raise SnapshotUnsupported(
                f'the storage of {self._address.id} begins with a snapshot, and its state machine '
                'has no snapshot() and restore(value): give the one with which it was written'
            )

    async def stop(self, error: Optional[ConsensualError] = None) -> None:
        """End everything that goes on; whatever waits gets the error."""
        is_orderly = self._stopped_by is None
        self._end(error or NodeStopped('the node was stopped'))
        try:
            await self._peers.stop()
            for going_on in (self._writing, self._staging):
                if going_on is not None:
                    await wait([going_on])
            if is_orderly:
                await self._write_the_rest()
            await self._applier.stop()
            self._check_applied()
        finally:
            await _result(self._storage.close())

    async def _write_the_rest(self) -> None:
        """Write what changed since the last write, as there will be no next turn."""
        if self._raft is None:
            return
        for event in self._inbox:
            if isinstance(event, Persisted):
                self._raft.step(event, self.loop.time())
        write = self._raft.take_effects(self.loop.time()).write
        if write is None:
            return
        try:
            await _result(self._storage.write(write))
        except Exception:  # it stops anyway; `_check_applied` sees what is missing
            self._logger.exception('%s could not write its last entries', self._address.id)
        else:
            self._raft.step(Persisted(write.number), self.loop.time())

    def _check_applied(self) -> None:
        """State that is ahead of the log could not be told from another log's."""
        if self._raft is not None:
            durable = self._raft.state.durability.durable_index
            if durable < self._applier.applied_index:
                self._applier.spoil(
                    f'{self._address.id} applied {self._applier.applied_index} entries, '
                    f'of which its storage has {durable}'
                )

    async def abandon(self) -> None:
        """Give up what cannot be ended: its loop is closed."""
        self._stopped_by = NodeStopped('the loop of the node was closed')
        self._applier.abandon()
        self._check_applied()
        await _result(self._storage.close())

    @property
    def state(self) -> State:
        """What the core knows; to be read only."""
        if self._raft is None:
            raise NodeStopped('the node has not recovered from its storage yet')
        return self._raft.state

    def fail(self, error: ConsensualError) -> None:
        """Stop loudly: go on with nothing rather than with something wrong."""
        if self._stopped_by is None:
            self._logger.critical(
                '%s stops: %s: %s', self._address.id, type(error).__name__, error, exc_info=error
            )
            self._end(error)
            self._on_failure(error)

    def _end(self, error: ConsensualError) -> None:
        if self._stopped_by is not None:
            return
        self._stopped_by = error
        if self._timer is not None:
            self._timer.cancel()
        if self._staging is not None:
            self._staging.cancel()
        calls, self._calls = self._calls, {}
        for on_reply in calls.values():
            on_reply(Refused(NodeStopped.__name__, str(error)))
        for future in self._until_durable:
            _fail(future, error)
        for waiting in self.waiting:
            waiting.end(error)

    # what goes in

    def schedule(self) -> None:
        """Have a turn soon."""
        if not self._is_scheduled and self._stopped_by is None:
            self._is_scheduled = True
            self.loop.call_soon(self._turn, context=self._context)

    def post(self, event: Event) -> None:
        """Have the event stepped in the next turn."""
        self._inbox.append(event)
        self.schedule()

    def step_now(self, event: Event) -> None:
        """Step the event and have a turn at once; raises what the core refuses it with."""
        self.refuse_stopped()
        if self._raft is not None:
            try:
                self._raft.step(event, self.loop.time())
            except InvariantViolated as error:
                self.fail(error)
                raise
        self._turn()

    def refuse_stopped(self) -> None:
        """Raise why the engine stopped, if it did."""
        if self._stopped_by is not None:
            raise self._stopped_by.with_traceback(None)

    async def receive(self, kind: MessageKind, message: Any) -> Any:
        """Take a peer's request; return the reply, which may have to wait for the disk."""
        request = decode_request(kind, message)
        if isinstance(request, Refused):
            return encode(request)
        self.refuse_stopped()
        future: Future[Reply] = self.loop.create_future()

        def answer(reply: Reply) -> None:
            if not future.done():
                future.set_result(reply)

        self.post(Received(self._number(answer), request))
        return encode(await future)

    def ask(self, member: Member, make_request: Callable[[Route], Request], on: OnReply) -> None:
        """Ask a member, this one included, something that is not the core's own business."""
        request = make_request(self.state.route_to(member))
        if member == self.state.me:
            self.post(Received(self._number(lambda reply: on(request, reply)), request))
        else:
            self._call_peer(request, on)

    def find_leader(self) -> Optional[Member]:
        """Return whom this node takes for the leader, if it can be addressed."""
        state = self.state
        leader = state.leader
        if leader is None:
            return None
        return state.me if leader == state.id else state.configuration.find(leader)

    def _number(self, on_reply: Callable[[Reply], None]) -> int:
        self._last_call += 1
        self._calls[self._last_call] = on_reply
        return self._last_call

    async def until_durable(self) -> None:
        """Wait until everything that stands now is durable. Raises why the engine stopped."""
        self.refuse_stopped()
        if not self.state.durability.is_settled:
            future: Future[None] = self.loop.create_future()
            self._until_durable.append(future)
            await future

    # one turn

    def _turn(self) -> None:
        if self._raft is None or self._stopped_by is not None:
            self._is_scheduled = False
            return
        try:
            for contributor in self.contributors:
                contributor.contribute()
            self._is_scheduled = False
            now = self.loop.time()
            events, self._inbox = self._inbox, []
            for event in events:
                self._raft.step(event, now)
            self._carry_out(self._raft, now)
        except ConsensualError as error:
            return self.fail(error)
        except Exception as error:  # noqa: BLE001 - a bug of ours: nothing goes on after it
            failure = InvariantViolated(f'a bug of consensual, please report it: {error!r}')
            failure.__cause__ = error
            return self.fail(failure)
        self._applier.run()
        self._show_changes()

    def _carry_out(self, raft: Union[Raft, RecordedRaft], now: float) -> None:
        """Carry out the effects, again as long as writes are durable at once."""
        while True:
            effects = raft.take_effects(now)
            if self.meter.observers:
                self.meter.take(raft.state, effects, now)
            self._send(effects)
            if effects.reset:
                self.recovered_index = 0
                self._applier.reset()
            if effects.restore is not None:
                self._applier.restore(effects.restore)
            if effects.committed:
                self._applier.feed(effects.first_committed, effects.committed)
            if effects.write is None or not self._is_written_at_once(effects.write):
                break
            raft.step(Persisted(effects.write.number), now)
        self._set_timer(effects.deadline)
        if self._until_durable and raft.state.durability.is_settled:
            for future in self._until_durable:
                if not future.done():
                    future.set_result(None)
            self._until_durable.clear()

    def _send(self, effects: Effects) -> None:
        for notice in effects.notices:
            self._logger.log(notice.level, '%s', notice.text)
        for request in effects.requests:
            self._call_peer(request, self._take_reply)
        for call, reply in effects.answers:
            on_reply = self._calls.pop(call, None)
            if on_reply is not None:
                on_reply(reply)

    def _call_peer(self, request: Request, on_reply: OnReply) -> None:
        if not self._peers.knows(request.route.receiver):
            self._peers.follow(contacts(self.state))
        self._peers.call(request, on_reply)

    def _take_reply(self, request: Request, reply: Optional[Reply]) -> None:
        self.post(Failed(request) if reply is None else Replied(request, reply))

    def _show_changes(self) -> None:
        state = self.state
        shown = (state.role.name, state.current_term, state.leader, state.configured, state.me)
        if shown != self._shown:
            self._shown = shown
            self._on_change()
            self.schedule()
        reachable = contacts_key(state)
        if reachable != self._reachable:
            self._reachable = reachable
            self._peers.follow(contacts(state))

    # the disk

    def _is_written_at_once(self, write: Write) -> bool:
        """Write; what takes its time is reported in a later turn."""
        began_at = self.loop.time()
        try:
            writing = self._storage.write(write)
        except Exception as error:  # whatever it is, nothing is acknowledged after it
            raise _storage_error(error) from error
        if writing is None:
            self.meter.wrote(self.loop.time() - began_at)
            return True
        self._writing = ensure_future(writing)
        self._writing.add_done_callback(partial(self._end_write, write.number, began_at))
        return False

    def _end_write(self, number: int, began_at: float, writing: 'Future[None]') -> None:
        self._writing = None
        if isinstance(writing, Task) and writing.cancelling():
            return  # whoever ends all tasks of the loop is not the storage
        error = CancelledError() if writing.cancelled() else writing.exception()
        if error is None:
            self.meter.wrote(self.loop.time() - began_at)
            return self.post(Persisted(number))
        self.fail(_storage_error(error))

    def stage(self, data: bytes, then: Callable[[], None]) -> None:
        """Have a snapshot's data made durable beside the log, where the storage can; then call."""
        if not isinstance(self._storage, Staging):
            return then()
        self._staging = self.loop.create_task(self._stage(self._storage, data, then))

    async def _stage(self, storage: Staging, data: bytes, then: Callable[[], None]) -> None:
        try:
            await storage.stage(data)
        except (Exception, CancelledError) as error:
            if isinstance(error, CancelledError) and is_being_cancelled():
                raise
            self.fail(_storage_error(error))
        else:
            then()

    # the clock

    def _set_timer(self, deadline: Optional[float]) -> None:
        """One timer; where it is early, it is set again when it rings."""
        self._deadline = deadline
        if deadline is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None or self._timer.when() > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        """Wake the core, after what has arrived before."""
        self._timer = None
        if self._deadline is None or self._stopped_by is not None:
            return
        if self.loop.time() < self._deadline:
            self._timer = self.loop.call_at(self._deadline, self._ring)
        else:
            self.post(Woken())


async def _result(value: Union[Result, Awaitable[Result]]) -> Result:
    """Await what may be awaitable."""
    if isinstance(value, Awaitable):
        return await value
    return value


def _storage_error(error: BaseException) -> StorageError:
    if isinstance(error, StorageError):
        return error
    failure = StorageFailed(f'a write failed: {error!r}; nothing is acknowledged after it')
    failure.__cause__ = error
    return failure


def _fail(future: 'Future[Any]', error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
