"""The server side of the clients' WebSockets: what they ask of a node, in batches.

What is asked is in `calls`; that a retry is applied once is the business of the node's sessions.
"""

from asyncio import Event, Future, Task, gather, get_running_loop, wait
from asyncio import timeout as time_limit
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from functools import partial
from math import isfinite
from time import perf_counter
from typing import Any, Optional, Protocol

import msgspec
from aiohttp import ClientConnectionResetError, WSCloseCode, WSMsgType, web

from consensual.http.answers import NotJSON, encode_result, refuse, told_by
from consensual.http.calls import (
    CALL_LIMIT,
    PATH,
    REQUEST_LIMIT,
    RESULT_LIMIT,
    TIMEOUT_LIMIT,
    Answers,
    BadFrame,
    Done,
    Execute,
    Failed,
    Leave,
    OpenSession,
    Outbox,
    Query,
    Request,
    Status,
    encode,
    failure_of,
    requests_of,
)
from consensual.http.parting import part
from consensual.raft import Node
from consensual.raft.driver.gateway import Ticket
from consensual.raft.driver.parameters import decode
from consensual.raft.errors import (
    ConsensualError,
    InvalidParameters,
    NodeStopped,
    NoLeader,
    NotMember,
    OutcomeUnknown,
    Overloaded,
    ProcessorFailed,
    UnknownQuery,
)

HEARTBEAT = 5.0
"""Seconds of silence after which a client is asked whether it is still there."""

BACKLOG = 1 << 22
"""Characters of answers that may wait for a slow client before it is not listened to."""

SLICE = 0.005
"""Seconds of queries after which the loop gets its turn."""


class Access(Protocol):
    """Who may ask."""

    def check_client(self, request: web.Request) -> None:
        """Raise `HTTPUnauthorized` or `HTTPForbidden` for whoever may not."""


class Clients:
    """The connections that clients have to one node, in one application.

    access: asked before anything is read.
    """

    def __init__(self, node: Node, access: Access) -> None:
        self._node = node
        self._access = access
        self._connections: set[_Connection] = set()
        self._is_draining = False
        self._none_left = Event()
        self._watching: Optional[Task[None]] = None

    def __repr__(self) -> str:
        return f'Clients({len(self._connections)} of {self._node.url})'

    def install(self, app: web.Application) -> None:
        """Add the route to an application that is not running yet."""
        app.add_routes(self.routes())
        app.on_shutdown.append(self._shut_down)

    def routes(self) -> list[web.RouteDef]:
        """Return the one route."""
        return [web.get(f'/{PATH}', self.serve, allow_head=False)]

    async def drain(self, timeout: float) -> None:
        """Refuse new calls, answer those under way, and send each client away that has none.

        Of what is refused nothing is done, so that it may be asked of another node.
        timeout: seconds that the last one is waited for.
        """
        self._is_draining = True
        for connection in self._connections:
            connection.drain()
        with suppress(TimeoutError):
            async with time_limit(timeout):
                while self._connections:
                    self._none_left.clear()
                    await self._none_left.wait()

    async def _shut_down(self, _: web.Application) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await wait([self._watching])
        await gather(*(connection.close() for connection in self._connections))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one client until it goes."""
        self._access.check_client(request)
        if self._is_draining:
            return refuse(503, 'the node is being stopped: ask another one')
        if 'Origin' in request.headers:
            return refuse(403, 'pages of browsers may not connect here')
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT, max_msg_size=REQUEST_LIMIT, compress=False, timeout=1.0
        )
        if not socket.can_prepare(request):
            headers = {'Upgrade': 'websocket'}
            return refuse(426, 'clients connect here by WebSocket', headers=headers)
        await socket.prepare(request)
        if self._watching is None:
            self._watching = get_running_loop().create_task(self._watch())
        connection = _Connection(self._node, socket)
        self._connections.add(connection)
        if self._is_draining:  # since a moment ago
            connection.drain()
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            if not self._connections:
                self._none_left.set()
        return socket

    async def _watch(self) -> None:
        """Tell all clients who leads, at each change; send them elsewhere when the node ends."""
        try:
            async for _ in self._node.watch():
                for connection in self._connections:
                    connection.tell_leader()
        except ConsensualError as error:
            self._node.logger.info('clients of %s are sent away: %s', self._node.url, error)
        finally:
            self._watching = None
        for connection in self._connections:
            connection.say_good_bye()


class _Connection:
    """One client: what it asks, and the answers that wait to be sent."""

    def __init__(self, node: Node, socket: web.WebSocketResponse) -> None:
        self._node = node
        self._socket = socket
        self._told_leader: Optional[str] = None
        self._cluster = node.gateway.cluster_id
        self._outbox: Outbox[Done | Failed] = Outbox()
        self._has_something = Event()
        self._has_room = Event()
        self._is_draining = self._is_leaving = self._is_gone = False
        self._tickets: dict[int, Optional[Ticket]] = {}
        self._tasks: set[Task[None]] = set()

    async def run(self) -> None:
        """Go on until the connection ends, however it does."""
        self.tell_leader()
        sending = get_running_loop().create_task(self._send())
        try:
            async for message in self._socket:
                self._take_frame(message.data if message.type is WSMsgType.BINARY else b'')
                await self._until_room()
        except BadFrame as error:
            self._node.logger.warning('a client of %s is sent away: %s', self._node.url, error)
            await part(self._socket, WSCloseCode.POLICY_VIOLATION)
        finally:
            sending.cancel()
            for ticket in self._tickets.values():
                if ticket is not None:
                    ticket.drop()
            for task in self._tasks:
                task.cancel()
            await wait([sending, *self._tasks])

    async def _until_room(self) -> None:
        """Wait for a client that does not read its answers."""
        while self._outbox.size > BACKLOG and not self._is_gone:
            self._has_room.clear()
            await self._has_room.wait()

    async def close(self) -> None:
        """Send the client away; it finds another node."""
        await part(self._socket, WSCloseCode.GOING_AWAY)

    @property
    def _has_moved(self) -> bool:
        """The node is in another cluster, where the client's session means nothing."""
        return self._node.gateway.cluster_id != self._cluster

    def tell_leader(self) -> None:
        """Have the client told who leads, if that is new."""
        if self._has_moved:
            self.say_good_bye()
        if self._told_leader != (self._node.gateway.leader or ''):
            self._has_something.set()

    async def _send(self) -> None:
        try:
            while True:
                await self._has_something.wait()
                self._has_something.clear()
                while self._outbox or self._told_leader != (self._node.gateway.leader or ''):
                    self._told_leader = self._node.gateway.leader or ''
                    frame = encode(Answers(self._told_leader, self._cluster, self._outbox.take()))
                    await self._socket.send_bytes(frame)
                    self._has_room.set()
                if self._is_leaving:
                    return await self.close()
        except (ClientConnectionResetError, OSError):
            return  # it has gone; whoever reads from it notices, too
        finally:
            self._is_gone = True
            self._has_room.set()

    # what is asked

    def _take_frame(self, frame: bytes) -> None:
        requests = requests_of(frame)
        if self._has_moved:
            for request in requests:
                self._fail(request.number, NotMember('the node has come into another cluster'))
            return self.say_good_bye()
        reads: list[Query] = []
        for request in requests:
            if request.number in self._tickets:
                raise BadFrame(f'the number {request.number} is in use')
            try:
                self._take(request, reads)
            except ConsensualError as error:
                self._fail(request.number, error)
        if reads:
            self._begin(self._read(reads))
        return None

    def _take(self, request: Request, reads: list[Query]) -> None:
        number = request.number
        if self._is_draining and not isinstance(request, (Status, Leave)):
            raise NodeStopped(f'{self._node.url} is being stopped: ask another node')
        if len(self._tickets) >= CALL_LIMIT:
            raise Overloaded(f'{CALL_LIMIT} calls of this connection are under way')
        if isinstance(request, Execute):
            ticket = self._node.gateway.execute(
                request.action,
                request.parameters,
                session=request.session,
                sequence=request.sequence,
                lowest=request.lowest,
                timeout=_bounded(request.timeout),
            )
            self._tickets[number] = ticket
            ticket.future.add_done_callback(partial(self._settle, number))
        elif isinstance(request, Query):
            _bounded(request.timeout)
            if request.name not in self._node.queries:
                raise UnknownQuery(
                    f'{request.name!r} is no query of {self._node.url}; '
                    f'there are {sorted(self._node.queries)}'
                )
            self._tickets[number] = None
            if request.is_linearizable:
                reads.append(request)
            else:
                self._begin(self._look(request))
        elif isinstance(request, OpenSession):
            ticket = self._node.gateway.open_session(_bounded(request.timeout))
            self._tickets[number] = ticket
            ticket.future.add_done_callback(partial(self._settle, number))
        elif isinstance(request, Leave):
            self._let_go()
        else:
            self._answer(number, self._node.status)

    def _let_go(self) -> None:
        """Tell a client that leaves what was not done here, and what may be."""
        for number, ticket in list(self._tickets.items()):
            if ticket is not None and not ticket.future.done():
                if ticket.drop():
                    self._fail(number, OutcomeUnknown('its client left this node before the end'))
                else:
                    self._fail(number, NoLeader('it was not done: no leader was found'))
        self.say_good_bye()

    def drain(self) -> None:
        """Take no calls any more, and end the connection when none is under way."""
        self._is_draining = True
        self._part_when_done()

    def _part_when_done(self) -> None:
        if self._is_draining and not self._tickets:
            self.say_good_bye()

    def say_good_bye(self) -> None:
        """End the connection once all answers are sent."""
        self._is_leaving = True
        self._has_something.set()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # how it is answered

    def _settle(self, number: int, future: 'Future[Any]') -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._answer(number, future.result())
        elif isinstance(error, Exception):
            self._fail(number, error)

    def _answer(self, number: int, value: Any) -> None:
        self._tickets.pop(number, None)
        try:
            result = encode_result(value).decode()
        except NotJSON as error:
            return self._fail(number, ConsensualError(str(error)))
        if len(result) > RESULT_LIMIT:
            text = f'it was done, with a result of {len(result)} characters: ask for less'
            return self._fail(number, ConsensualError(text))
        self._outbox.put(Done(number, result), len(result))
        self._part_when_done()
        return self._has_something.set()

    def _fail(self, number: int, error: Exception) -> None:
        self._tickets.pop(number, None)
        if isinstance(error, ConsensualError):
            error = told_by(self._node, error)
        failure = failure_of(number, error)
        self._outbox.put(failure, len(failure.text))
        self._part_when_done()
        self._has_something.set()

    # queries

    async def _read(self, reads: list[Query]) -> None:
        """Run queries that came together behind one read index (thesis §6.4)."""
        try:
            await self._node.ensure_linearizable(timeout=max(read.timeout for read in reads))
            left = reads[::-1]
            while left:
                await self._until_room()
                await self._node.gateway.between_commands(lambda: self._run(left))
        except ConsensualError as error:
            for read in reads:
                if read.number in self._tickets:
                    self._fail(read.number, error)

    def _run(self, left: list[Query]) -> None:
        """Run queries, the last one first, for a slice of time."""
        end = perf_counter() + SLICE
        while left and perf_counter() < end and self._outbox.size <= BACKLOG:
            read = left.pop()
            try:
                value = self._node.queries[read.name](_parameters_of(read))
            except Exception as error:  # noqa: BLE001 - the user's: it is the query's outcome
                self._fail(read.number, _failure(read, error))
            else:
                if hasattr(value, '__await__'):
                    self._begin(self._await(read, value))
                else:
                    self._answer(read.number, value)

    async def _look(self, read: Query) -> None:
        await self._until_room()
        try:
            parameters = _parameters_of(read)
            query = self._node.query(
                read.name, parameters, consistency='local', timeout=read.timeout
            )
        except InvalidParameters as error:
            return self._fail(read.number, error)
        return await self._await(read, query)

    async def _await(self, read: Query, value: Awaitable[Any]) -> None:
        try:
            result = await value
        except Exception as error:  # noqa: BLE001 - the user's: it is the query's outcome
            self._fail(read.number, _failure(read, error))
        else:
            self._answer(read.number, result)


def _failure(read: Query, error: Exception) -> Exception:
    if isinstance(error, ConsensualError):
        return error
    return ProcessorFailed(f'query {read.name!r} raised {error!r}')


def _parameters_of(read: Query) -> Any:
    try:
        return decode(read.parameters)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidParameters(f'parameters of {read.name!r} are no JSON: {error}') from error


def _bounded(timeout: float) -> float:
    if not isfinite(timeout) or not 0 < timeout <= TIMEOUT_LIMIT:
        raise InvalidParameters(
            f'timeout is a number of seconds above 0, up to {TIMEOUT_LIMIT:g}, not {timeout!r}'
        )
    return timeout
