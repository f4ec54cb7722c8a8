"""The clerk: gets the commands of this node's callers applied, once each (thesis §6.3).

Numbers them in a session, hands them to the leader, and hands them in again
wherever they may have been lost; the session table sorts out what came twice.
Clients of other processes have sessions of their own and number their commands themselves.
"""

from asyncio import Future, TimerHandle
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

from consensual.raft.core.configuration import Member
from consensual.raft.core.log import Command, OpenSession
from consensual.raft.core.messages import Accepted, Propose, Reply, Request, Route
from consensual.raft.core.sessions import Session
from consensual.raft.driver.deadlines import Deadlines
from consensual.raft.driver.engine import Engine
from consensual.raft.driver.outcome import Outcome
from consensual.raft.errors import (
    ConsensualError,
    NoLeader,
    NotMember,
    OutcomeUnknown,
    Overloaded,
    SessionLost,
)

COMMAND_LIMIT, SIZE_LIMIT = 4096, 1 << 24
"""Commands, and bytes of them, that may be on their way at a time; others wait their turn."""

BATCH_LIMIT = 1 << 18
"""Bytes of commands handed to a remote leader in one message."""


Payload = Union[Command, OpenSession]
Key = Union[tuple[int, int], str]
"""Session and sequence of a command, or who opens a session."""


class Call:
    """One command, or opening of a session, and the caller who waits for it.

    cluster_id: of the cluster that it is for.
    payload: what stands for it in the log; None until this node's clerk has numbered it.
    is_proposed, is_repeated: it was handed to a leader, and maybe not for the first time.
    """

    __slots__ = (
        'action',
        'cluster_id',
        'deadline',
        'future',
        'is_proposed',
        'is_repeated',
        'key',
        'payload',
        'size',
        'text',
        'timeout',
    )

    def __init__(self, action: str, text: str, future: 'Future[Any]', timeout: float) -> None:
        self.action, self.text = action, text
        self.size = len(action) + len(text)
        self.future = future
        self.timeout = timeout
        self.deadline = future.get_loop().time() + timeout
        self.cluster_id = ''
        self.payload: Optional[Payload] = None
        self.key: Optional[Key] = None
        self.is_proposed = self.is_repeated = False


class Clerk:
    """The commands of one run of a node.

    Callers whose command is not on its way yet stand in `_backlog`, or in `_sessionless`
    while this node has no session; the rest is in `_pending`; of those, `_queue` is to be
    handed in. `_twins` wait for what is pending for another caller, too.
    """

    def __init__(self, engine: Engine, opener: str) -> None:
        self._engine = engine
        self._opener = opener
        self._session: Optional[int] = None
        self._next_sequence = 0
        self._lowest = 0
        self._openings = 0
        self._backlog: OrderedDict[Call, None] = OrderedDict()
        self._sessionless: OrderedDict[Call, None] = OrderedDict()
        self._pending: dict[Key, Call] = {}
        self._twins: dict[Key, list[Call]] = {}
        self._pending_size = 0
        self._queue: deque[Call] = deque()
        self._cluster_id = ''
        self._epoch: Optional[tuple[int, str]] = None
        self._is_session_asked = False
        self._is_handing_in = False
        self._retry: Optional[TimerHandle] = None
        self._deadlines: Deadlines[Call] = Deadlines(engine.loop, self._expire)

    def __repr__(self) -> str:
        return f'Clerk({len(self._pending)} on their way, {len(self._backlog)} waiting)'

    def submit(self, action: str, text: str, timeout: float) -> Call:
        """Take a command; the future of what is returned gets what becomes of it.

        Whoever stops waiting calls `drop`.
        """
        return self._take(Call(action, text, self._engine.loop.create_future(), timeout))

    def relay(self, command: Command, timeout: float) -> Call:
        """Take a command that a client has numbered; it may have come before, also elsewhere.

        `SessionLost` becomes of it when it was not applied, for nobody knows its session.
        """
        loop = self._engine.loop
        call = Call(command.action, command.parameters, loop.create_future(), timeout)
        call.payload, call.key = command, (command.session, command.sequence)
        return self._take(call)

    def open_session(self, timeout: float) -> Call:
        """Open a session for a client; the future of what is returned gets its id."""
        self._openings += 1
        opener = f'{self._opener} for client {self._openings}'
        call = Call('opening a session', '', self._engine.loop.create_future(), timeout)
        call.payload, call.key = OpenSession(opener), opener
        return self._take(call)

    def _take(self, call: Call) -> Call:
        self._engine.refuse_stopped()
        call.cluster_id = self._engine.state.cluster_id
        self._deadlines.add(call, call.timeout)
        self._backlog[call] = None
        self._engine.schedule()
        return call

    # in every turn

    def contribute(self) -> None:
        """Hand in what waits, if there is somebody to lead."""
        state = self._engine.state
        if not (self._backlog or self._queue or self._pending or self._sessionless):
            if not state.is_attached:
                self._deadlines.clear()
            return None
        if not state.is_attached:
            return self._fail_all(
                NotMember(f'{state.id} is in no cluster: attach it to one, or call solo()')
            )
        if state.cluster_id != self._cluster_id:
            self._cluster_id = state.cluster_id
            if any(call.cluster_id != state.cluster_id for call in self._calls):
                return self._fail_all(NotMember(f'{state.id} came into another cluster meanwhile'))
        leader = self._engine.find_leader()
        if leader is None:
            return None
        self._notice_epoch(state.current_term, leader)
        self._admit()
        if self._sessionless:
            self._ask_for_session(leader)
        if self._queue and not self._is_handing_in and self._retry is None:
            self._hand_in(leader, leader == state.me)
        return None

    def _notice_epoch(self, term: int, leader: Member) -> None:
        """Under another leader everything may have been lost: hand it in again."""
        if self._epoch != (term, leader.id):
            self._epoch = term, leader.id
            self._is_session_asked = self._is_handing_in = False
            self._cancel_retry()
            self._queue = deque(self._pending.values())

    def _ask_for_session(self, leader: Member) -> None:
        if not self._is_session_asked and self._retry is None:
            self._is_session_asked = True
            epoch = self._epoch

            def take(_: Request, reply: Optional[Reply]) -> None:
                if self._epoch == epoch and not isinstance(reply, Accepted):
                    self._is_session_asked = False
                    self._retry_later()

            opening = OpenSession(self._opener)
            self._engine.ask(leader, lambda route: Propose(route, [opening]), take)

    def _admit(self) -> None:
        """Put on their way the commands that there is room for."""
        while (
            self._backlog and len(self._pending) < COMMAND_LIMIT and self._pending_size < SIZE_LIMIT
        ):
            call, _ = self._backlog.popitem(last=False)
            if call.key is None:
                if self._session is None:
                    self._sessionless[call] = None
                    continue
                self._number(call, self._session)
            elif call.key in self._pending:
                call.is_proposed = call.is_repeated = True  # if not yet, then soon
                self._twins.setdefault(call.key, []).append(call)
                continue
            self._set_out(call)

    def _number(self, call: Call, session: int) -> None:
        sequence = self._next_sequence
        self._next_sequence += 1
        lowest = self._mark(session)
        call.payload = Command(session, sequence, lowest, call.action, call.text)
        call.key = session, sequence

    def _mark(self, session: int) -> int:
        """Return the lowest unfinished sequence; what is below is forgotten everywhere."""
        last = self._next_sequence - 1
        while self._lowest < last and (session, self._lowest) not in self._pending:
            self._lowest += 1
        return self._lowest

    def _set_out(self, call: Call) -> None:
        if call.key is not None:
            self._pending[call.key] = call
            self._pending_size += call.size
            self._queue.append(call)

    def _hand_in(self, leader: Member, is_here: bool) -> None:
        """Give the leader the next batch; the batches after it wait for the answer."""
        batch: list[Call] = []
        size = 0
        while self._queue and (is_here or size < BATCH_LIMIT):
            call = self._queue.popleft()
            if not call.future.done():
                call.is_repeated = call.is_proposed
                call.is_proposed = True
                size += call.size
                batch.append(call)
        if not batch:
            return
        epoch = self._epoch
        payloads = [call.payload for call in batch if call.payload is not None]

        def make(route: Route) -> Request:
            return Propose(route, payloads)

        def take(_: Request, reply: Optional[Reply]) -> None:
            if self._epoch != epoch:
                return
            self._is_handing_in = False
            if isinstance(reply, Accepted):
                if self._queue:
                    self._engine.schedule()
            else:
                self._queue.extendleft(reversed(batch))
                self._retry_later()

        self._is_handing_in = not is_here
        self._engine.ask(leader, make, take)

    def _retry_later(self) -> None:
        """The leader refused, or was not reached: ask again in a heartbeat."""
        if self._retry is None:
            self._retry = self._engine.loop.call_later(
                self._engine.settings.heartbeat, self._retry_now
            )

    def _retry_now(self) -> None:
        self._retry = None
        self._engine.schedule()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    # what was applied

    def command_applied(self, command: Command, outcome: Outcome) -> None:
        """Answer the caller, if it is one of this node's."""
        if self._pending:
            call = self._pending.get((command.session, command.sequence))
            if call is not None:
                self._settle(call, outcome)

    def command_forgotten(self, command: Command) -> None:
        """Tell the caller, if it is one of this node's, and give its own session up."""
        call = self._pending.get((command.session, command.sequence))
        if call is None:
            return
        is_own = command.session == self._session
        if is_own or call.is_repeated:
            self._settle(call, Outcome(None, OutcomeUnknown(_FORGOTTEN)))
        else:
            self._settle(call, Outcome(None, SessionLost(_LOST)))
        if is_own:
            self._leave_session()

    def session_opened(self, index: int, opener: str) -> None:
        """Take the session, if it is the one that this clerk asked for, or a client of its."""
        if (call := self._pending.get(opener)) is not None:
            self._settle(call, Outcome(index))
        is_new = index > self._engine.recovered_index
        if opener == self._opener and is_new and self._session is None:
            self._session = index
            self._backlog = self._sessionless | self._backlog
            self._sessionless.clear()
            self._engine.schedule()

    def was_reset(self) -> None:
        """The session is no more, nor any other."""
        self._leave_session()

    def was_restored(self, sessions: Mapping[int, Session[Outcome]]) -> None:
        """What was applied was taken over from a snapshot: see what became of the calls."""
        self._engine.schedule()
        if self._session is None:
            self._is_session_asked = False  # it may have been opened, and was not seen
        elif self._session not in sessions:
            self._leave_session()
        for call in list(self._pending.values()):
            if isinstance(call.payload, Command):
                session = sessions.get(call.payload.session)
                outcomes = session.outcomes if session is not None else {}
                if (outcome := outcomes.get(call.payload.sequence)) is not None:
                    self._settle(call, outcome)
                    continue
            call.is_repeated = call.is_proposed
        self._queue = deque(self._pending.values())  # what became of them may not have been seen

    def _leave_session(self) -> None:
        """The session was evicted: the next commands get another."""
        session, self._session = self._session, None
        self._opener += "'"
        self._is_session_asked = False
        for call in list(self._pending.values()):
            if isinstance(call.payload, Command) and call.payload.session == session:
                self._finish(call)
                _fail(call, OutcomeUnknown('the session of the command was evicted'))

    # the ends of calls

    def _settle(self, call: Call, outcome: Outcome) -> None:
        """Tell everyone who waits for the call what became of it."""
        self._finish(call)
        for one in (call, *self._twins_of(call)):
            if not one.future.done():
                if outcome.error is None:
                    one.future.set_result(outcome.value)
                else:
                    one.future.set_exception(outcome.error)
        if self._backlog:
            self._engine.schedule()

    def _twins_of(self, call: Call) -> Sequence[Call]:
        return self._twins.pop(call.key, ()) if self._twins and call.key is not None else ()

    def _finish(self, call: Call) -> None:
        if call.key is not None and self._pending.get(call.key) is call:
            del self._pending[call.key]
            self._pending_size -= call.size
        else:
            self._backlog.pop(call, None)
            self._sessionless.pop(call, None)

    def drop(self, call: Call) -> None:
        """The caller went away; the command may still be applied."""
        self._finish(call)
        for twin in self._twins_of(call):
            if twin is not call and not twin.future.done():
                self._backlog[twin] = None
        self._engine.schedule()

    def _expire(self, call: Call) -> None:
        self.drop(call)
        if call.is_proposed:
            error: ConsensualError = OutcomeUnknown(
                f'{call.action!r} was not seen applied within {call.timeout:g} s; it may be '
                'applied later or never: read the state before doing it again'
            )
        elif self._engine.find_leader() is None:
            error = NoLeader(
                f'{call.action!r} was not done: no leader was found within {call.timeout:g} s'
            )
        else:
            error = Overloaded(
                f'{call.action!r} was not done: its turn did not come within {call.timeout:g} s, '
                'for this node lags behind or too much was asked at once; try later'
            )
        _fail(call, error)

    @property
    def _calls(self) -> list[Call]:
        """Whatever waits."""
        twins = [twin for twins in self._twins.values() for twin in twins]
        return [*self._pending.values(), *twins, *self._sessionless, *self._backlog]

    def _fail_all(self, error: ConsensualError) -> None:
        self._cancel_retry()
        calls = self._calls
        self._backlog.clear()
        self._sessionless.clear()
        self._twins.clear()
        self._queue.clear()
        for call in calls:
            self._finish(call)
            _fail(call, _unknown(call, error) if call.is_proposed else error)

    def end(self, error: ConsensualError) -> None:
        """The node stops: nobody here will learn what becomes of the commands."""
        self._fail_all(error)
        self._deadlines.clear()


_FORGOTTEN = (
    'the command came again after its session was closed or had moved on: '
    'whether it was applied before is not known'
)
_LOST = (
    'the command was not applied: its session was closed, or evicted for others, or had moved on; '
    'open another one'
)


def _unknown(call: Call, error: ConsensualError) -> OutcomeUnknown:
    return OutcomeUnknown(f'{call.action!r} may be applied or not: {error}')


def _fail(call: Call, error: ConsensualError) -> None:
    if not call.future.done():
        call.future.set_exception(error)
