"""The client: commands and queries of a program that is no node, each applied once (thesis §6.3).

Where it talks to is `navigator`, what is said `calls`.
"""

import ssl
from asyncio import (
    AbstractEventLoop,
    CancelledError,
    Future,
    Task,
    TimerHandle,
    get_running_loop,
    wait,
)
from collections import deque
from collections.abc import Collection
from functools import partial
from random import Random
from typing import Any, Literal, Optional, Self, Union

import msgspec
from aiohttp import ClientSession, TCPConnector
from yarl import URL

from consensual.http.calls import (
    CALL_LIMIT,
    NAME_LIMIT,
    TIMEOUT_LIMIT,
    Done,
    Execute,
    Failed,
    OpenSession,
    Query,
    Request,
    Status,
    error_of,
)
from consensual.http.channel import Channel, connect
from consensual.http.navigator import Navigator
from consensual.raft.driver import parameters as codec
from consensual.raft.driver.arguments import checked
from consensual.raft.driver.deadlines import Deadlines
from consensual.raft.driver.status import NodeStatus
from consensual.raft.errors import (
    CallerError,
    ClusterError,
    ConsensualError,
    InvalidAddress,
    InvalidParameters,
    NodeStopped,
    NoLeader,
    NotMember,
    OutcomeUnknown,
    ProcessorFailed,
    SessionLost,
)

WINDOW = CALL_LIMIT // 2
"""Calls that may be under way on a channel; others wait their turn."""

PAUSE = 0.05
"""Seconds, about, after which a call that a node refused for the moment is made again."""

SHARE, MARGIN = 0.95, 0.1
"""Of the time that is left, what a node is given, and seconds less than all of it where there is
so much, so that its own word comes in time."""

Consistency = Literal['linearizable', 'local']
Kind = Literal['opening', 'command', 'read', 'local read', 'status']


class ClientClosed(CallerError, RuntimeError):
    """The client was closed, or not opened: use it in `async with`, or in `with`."""


class _Session:
    """A session of a cluster: which sequences are used, and which of them are unfinished."""

    def __init__(self, cluster: str, number: int) -> None:
        self.cluster, self.number = cluster, number
        self.next_sequence = 0
        self.unfinished: set[int] = set()
        self._lowest = 0

    @property
    def lowest(self) -> int:
        """The lowest unfinished sequence; the cluster forgets what is below."""
        while self._lowest < self.next_sequence and self._lowest not in self.unfinished:
            self._lowest += 1
        return self._lowest


class _Call:
    """One call, from its beginning until its future is done, however often it is sent.

    cluster: where it was sent, the last time.
    is_in_doubt: it was sent, and no answer told what became of it.
    error: why it was refused, the last time.
    """

    __slots__ = (
        'cluster',
        'deadline',
        'error',
        'future',
        'is_in_doubt',
        'kind',
        'name',
        'number',
        'sequence',
        'session',
        'size',
        'text',
        'timeout',
    )

    def __init__(
        self, kind: Kind, name: str, text: str, timeout: float, loop: AbstractEventLoop
    ) -> None:
        self.kind, self.name, self.text = kind, name, text
        self.size = len(name) + len(text)
        self.timeout = timeout
        self.deadline = loop.time() + timeout
        self.future: Future[Any] = loop.create_future()
        self.number = self.sequence = 0
        self.cluster = ''
        self.session: Optional[_Session] = None
        self.is_in_doubt = False
        self.error: Optional[ConsensualError] = None


class Client:
    """Asks a cluster, whichever node leads it.

    seeds: URLs of some of its nodes; one that answers is enough.
    token: the clients' token.
    ssl: for https: whom to trust, and a certificate of one's own.
    timeout: seconds that a call tries, unless it gives its own.
    random: for reproducible back-off.

    Use it as `async with Client(seeds) as client:`, on one event loop; calls may overlap.
    Raises `InvalidParameters` and `InvalidAddress`.
    """

    def __init__(
        self,
        seeds: Collection[Union[URL, str]],
        *,
        token: Optional[str] = None,
        ssl: Optional[ssl.SSLContext] = None,
        timeout: float = 5.0,
        random: Optional[Random] = None,
    ) -> None:
        if isinstance(seeds, (str, URL)) or not seeds:
            raise InvalidParameters('seeds is a list of the URLs of some nodes, one at least')
        self._seeds = [_address_of(seed) for seed in seeds]
        if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
            raise InvalidParameters('a token is printable ASCII text')
        self._headers = {} if token is None else {'Authorization': f'Bearer {token}'}
        self._ssl = ssl
        self._timeout = checked(timeout)
        self._random = Random() if random is None else random  # noqa: S311 - no secret
        self._navigator = Navigator(self._seeds, self._connect, self._change_channel, self._random)
        self._loop: Optional[AbstractEventLoop] = None
        self._http: Optional[ClientSession] = None
        self._navigating: Optional[Task[None]] = None
        self._last_number = 0
        self._session: Optional[_Session] = None
        self._is_opening = False
        self._sent: dict[int, _Call] = {}
        self._waiting: deque[_Call] = deque()
        self._later: list[_Call] = []
        self._sessionless: deque[_Call] = deque()
        self._pause: Optional[TimerHandle] = None
        self._deadlines: Optional[Deadlines[_Call]] = None

    def __repr__(self) -> str:
        return f'Client({[str(seed) for seed in self._seeds]}, at {str(self.url or "no node")!r})'

    @property
    def url(self) -> Optional[URL]:
        """The node that it talks to, None while there is none."""
        channel = self._navigator.channel
        return channel.url if channel is not None else None

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            raise ClientClosed('a client is opened once: make another one')
        self._loop = get_running_loop()
        self._deadlines = Deadlines(self._loop, self._expire)
        connector = TCPConnector(use_dns_cache=False, limit=0)
        self._http = ClientSession(connector=connector)
        self._navigating = self._loop.create_task(self._navigator.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        deadlines, self._deadlines = self._deadlines, None
        if deadlines is not None:
            deadlines.clear()
        if self._pause is not None:
            self._pause.cancel()
        for call in [*self._sent.values(), *self._waiting, *self._later, *self._sessionless]:
            if call.kind == 'command' and (call.is_in_doubt or call.number in self._sent):
                self._fail(call, OutcomeUnknown(f'{call.name!r}: the client was closed before'))
            else:
                self._fail(call, ClientClosed('the client was closed'))
        if self._navigating is not None:
            self._navigating.cancel()
            await wait([self._navigating])
        if self._http is not None:
            await self._http.close()

    # what is called

    async def execute(
        self, action: str, parameters: Any = None, *, timeout: Optional[float] = None
    ) -> Any:
        """Have a command applied, once, on every node; return what a node's processor did.

        action: the name of a processor.
        parameters: anything that JSON can carry, up to 1 MiB.
        timeout: seconds to try, across lost connections and changes of leaders.

        Raises what `Node.execute` raises; `NoLeader` only when nothing was done, and
        `OutcomeUnknown` when it may or may not be applied.
        """
        if not isinstance(action, str):
            raise InvalidParameters(f'an action is named by a text, not by {action!r}')
        _check_name(action)
        text = codec.encode(action, parameters)
        return await self._make('command', action, text, timeout)

    async def query(
        self,
        name: str,
        parameters: Any = None,
        *,
        consistency: Consistency = 'linearizable',
        timeout: Optional[float] = None,
    ) -> Any:
        """Return the result of a query of the state machine.

        name, parameters: of the query, and what it is given, which JSON can carry.
        consistency: 'linearizable' reflects every command completed before the call;
            'local' is from the state of whichever node is asked, which may be old.

        Raises what `Node.query` raises; `ProcessorFailed` when the query raised.
        """
        if not isinstance(name, str) or consistency not in ('linearizable', 'local'):
            raise InvalidParameters(
                f'{name!r}, {consistency!r}: a query has a name, and its consistency is '
                "'linearizable' or 'local'"
            )
        _check_name(name)
        text = codec.encode(name, parameters)
        kind: Kind = 'read' if consistency == 'linearizable' else 'local read'
        return await self._make(kind, name, text, timeout)

    async def status(self, *, timeout: Optional[float] = None) -> NodeStatus:
        """Return the status of the node that it talks to: the leader, if that can be reached."""
        result = await self._make('status', 'the status', '', timeout)
        return msgspec.convert(result, NodeStatus, dec_hook=_to_url)

    async def _make(self, kind: Kind, name: str, text: str, timeout: Optional[float]) -> Any:
        if self._loop is not get_running_loop() or self._deadlines is None:
            raise ClientClosed('open the client by `async with`, and use it on that event loop')
        seconds = self._timeout if timeout is None else checked(timeout)
        call = _Call(kind, name, text, seconds, self._loop)
        self._deadlines.add(call, seconds)
        self._enter(call)
        try:
            return await call.future
        except CancelledError:
            self._forget(call)
            raise

    # how calls go out

    def _enter(self, call: _Call) -> None:
        """Send a call, or have it wait for a session, a channel, or its turn."""
        for queue in (self._waiting, self._sessionless):
            while queue and queue[0].future.done():
                queue.popleft()
        if call.kind == 'command' and call.session is None:
            if self._session is None:
                self._sessionless.append(call)
                return self._open_session(call.timeout)
            self._number(call, self._session)
        channel = self._navigator.channel
        if channel is None or self._waiting or len(self._sent) >= WINDOW:
            return self._waiting.append(call)
        return self._send(call, channel)

    def _open_session(self, timeout: float) -> None:
        if not self._is_opening and self._loop is not None and self._deadlines is not None:
            self._is_opening = True
            call = _Call('opening', 'opening a session', '', timeout, self._loop)
            call.future.add_done_callback(partial(self._end_opening, call))
            self._deadlines.add(call, timeout)
            self._enter(call)

    def _end_opening(self, opening: _Call, future: 'Future[Any]') -> None:
        self._is_opening = False
        waiting, self._sessionless = self._sessionless, deque()
        error = future.exception() if not future.cancelled() else None
        if error is None and not future.cancelled():
            self._session = _Session(opening.cluster, future.result())
        for call in waiting:
            if isinstance(error, ConsensualError):
                call.error = error
            if not call.future.done():
                self._enter(call)

    @staticmethod
    def _number(call: _Call, session: _Session) -> None:
        call.session, call.sequence = session, session.next_sequence
        session.next_sequence += 1
        session.unfinished.add(call.sequence)

    def _send(self, call: _Call, channel: Channel) -> None:
        if call.session is not None and call.session.cluster != channel.cluster:
            return self._lose_session(call, SessionLost('this is another cluster'))
        call.cluster = channel.cluster
        self._last_number = call.number = self._last_number + 1
        self._sent[call.number] = call
        return channel.put(self._request_of(call), call.size)

    def _request_of(self, call: _Call) -> Request:
        now = self._loop.time() if self._loop is not None else 0.0
        left = call.deadline - now
        margin = max(left * (1 - SHARE), min(MARGIN, left / 4))
        timeout = min(max(left - margin, 0.001), TIMEOUT_LIMIT)
        if call.session is not None:
            session, sequence, lowest = call.session.number, call.sequence, call.session.lowest
            return Execute(call.number, session, sequence, lowest, call.name, call.text, timeout)
        if call.kind == 'opening':
            return OpenSession(call.number, timeout)
        if call.kind == 'status':
            return Status(call.number)
        return Query(call.number, call.name, call.text, call.kind == 'read', timeout)

    def _flush(self) -> None:
        """Send what waits, as far as there is room."""
        channel = self._navigator.channel
        while self._waiting and channel is not None and len(self._sent) < WINDOW:
            call = self._waiting.popleft()
            if not call.future.done():
                self._send(call, channel)

    # the way there

    async def _connect(self, url: URL) -> Channel:
        if self._http is None:
            raise ClientClosed('the client is not open')
        return await connect(
            self._http,
            url,
            ssl=self._ssl,
            headers=self._headers,
            on_answer=self._take,
            on_news=self._navigator.tell,
        )

    def _change_channel(self) -> None:
        """What was sent may be lost with the channel before: send it again, on another one."""
        lost, self._sent = self._sent, {}
        for call in lost.values():
            call.is_in_doubt = True
        self._waiting.extendleft(reversed(lost.values()))
        self._flush()

    # how they end

    def _take(self, answer: Union[Done, Failed]) -> None:
        call = self._sent.pop(answer.number, None)
        if call is not None and not call.future.done():
            if isinstance(answer, Failed):
                self._refused(call, error_of(answer))
            else:
                self._succeed(call, answer.result)
        if self._waiting:
            self._flush()

    def _succeed(self, call: _Call, result: str) -> None:
        try:
            value = codec.decode(result)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            return self._fail(
                call, ConsensualError(f'{call.name!r} was answered nonsense: {error}')
            )
        if call.session is not None:
            call.session.unfinished.discard(call.sequence)
        return call.future.set_result(value)

    def _refused(self, call: _Call, error: ConsensualError) -> None:
        """See whether the call has failed, or is to be made again."""
        if isinstance(error, SessionLost) and call.session is not None:
            return self._lose_session(call, error)
        if isinstance(error, (ClusterError, NodeStopped, OutcomeUnknown)):
            call.error = error
            call.is_in_doubt |= isinstance(error, OutcomeUnknown)
            if isinstance(error, (NodeStopped, NotMember)):
                self._navigator.go_elsewhere()
            if self._has_time(call):
                return self._make_later(call)
        if call.session is not None and call.is_in_doubt and not isinstance(error, ProcessorFailed):
            error = _doubt(call, str(error))
        return self._fail(call, error)

    def _lose_session(self, call: _Call, error: ConsensualError) -> None:
        """Nobody knows its session any more: what was never sent before is sent in another one."""
        if self._session is call.session:
            self._session = None
        if call.is_in_doubt:
            return self._fail(call, _doubt(call, str(error)))
        call.session, call.error = None, error
        return self._enter(call)

    def _has_time(self, call: _Call) -> bool:
        """Tell whether a node would have time to try again."""
        now = self._loop.time() if self._loop is not None else 0.0
        return call.deadline - now > (1 - SHARE) * call.timeout + 2 * PAUSE

    def _make_later(self, call: _Call) -> None:
        self._later.append(call)
        if self._pause is None and self._loop is not None:
            pause = PAUSE * self._random.uniform(0.5, 1.5)
            self._pause = self._loop.call_later(pause, self._make_again)

    def _make_again(self) -> None:
        self._pause = None
        later, self._later = self._later, []
        for call in later:
            if not call.future.done():
                self._enter(call)

    def _expire(self, call: _Call) -> None:
        seconds = f'{call.timeout:g} s'
        if call.kind == 'command' and (call.is_in_doubt or call.number in self._sent):
            return self._fail(call, _doubt(call, f'no answer came within {seconds}'))
        if call.error is not None:
            return self._fail(call, call.error)
        troubles = self._navigator.troubles or 'none had an answer'
        return self._fail(
            call, NoLeader(f'{call.name!r}: no node did it within {seconds}: {troubles}')
        )

    def _fail(self, call: _Call, error: ConsensualError) -> None:
        self._forget(call)
        if not call.future.done():
            call.future.set_exception(error)

    def _forget(self, call: _Call) -> None:
        """Nobody waits any more; where it still waits to be sent, its future says so."""
        self._sent.pop(call.number, None)
        if call.session is not None:
            call.session.unfinished.discard(call.sequence)


def _doubt(call: _Call, reason: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f'{call.name!r} may be applied or not: {reason}; read the state before doing it again'
    )


def _check_name(name: str) -> None:
    """Raise `InvalidParameters` for a name that no request can carry."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise InvalidParameters(f'the name {name!r} is no text: {error}') from error
    if size > NAME_LIMIT:
        raise InvalidParameters(f'a name may have {NAME_LIMIT} bytes, and this has {size}')


def _address_of(seed: Union[URL, str]) -> URL:
    try:
        url = URL(seed)
    except (TypeError, ValueError) as error:
        raise InvalidAddress(f'{seed!r} is no URL: {error}') from error
    if url.scheme not in ('http', 'https') or not url.host:
        raise InvalidAddress(f'{str(url)!r} is no http or https URL of a node')
    return url.with_query(None).with_fragment(None)


def _to_url(kind: type, value: Any) -> Any:
    if kind is URL:
        return URL(value)
    raise TypeError(f'a {kind.__name__}')
