"""REST: what operators and programs ask of a node by plain HTTP, and Prometheus.

The routes and what each of them does; how answers look is `answers`, how requests are
read is `bodies`. docs/rest.md tells all of it.
"""

from asyncio import timeout as time_limit
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Optional, Protocol

from aiohttp import web

from consensual.http.answers import (
    Handler,
    answer,
    json_errors,
    refuse,
    refuse_error,
    refuse_exception,
    told_by,
)
from consensual.http.bodies import (
    NOTHING,
    check_cluster,
    flag_of,
    read_json,
    timeout_of,
    url_in,
    urls_in,
)
from consensual.http.events import Streams
from consensual.http.metrics import Figures
from consensual.raft import Node
from consensual.raft.errors import (
    ConsensualError,
    InvalidParameters,
    OutcomeUnknown,
    UnknownAction,
)

if TYPE_CHECKING:
    from consensual.http.exposition import Exposition

TIMEOUT, CHANGE_TIMEOUT = 5.0, 30.0
"""Seconds that a command or a query, and a change of membership, try unless told otherwise."""

GRACE = 1.0
"""Seconds that a call may be late to say by itself that its time is over."""

LAG_LIMIT = 1000
"""Committed entries that a node may have still to apply and count as caught up."""


class Access(Protocol):
    """Who may ask."""

    def check_client(self, request: web.Request) -> None:
        """Raise `HTTPUnauthorized` or `HTTPForbidden` for whoever may not."""


class Rest:
    """The routes of one node in one application.

    access: asked before anything of a request is read, except `GET /health`.
    streams: those of `GET /events`; made with their own times unless given.
    """

    def __init__(self, node: Node, access: Access, *, streams: Optional[Streams] = None) -> None:
        self._node = node
        self._access = access
        self._streams = Streams(node) if streams is None else streams
        self._figures = Figures()
        self._exposition = _exposition(node, self._figures)
        self._end_of_figures: Callable[[], None] = node.observe(self._figures)

    def __repr__(self) -> str:
        return f'Rest({self._node!r})'

    def install(self, app: web.Application) -> None:
        """Add the routes to an application that is not running yet.

        Its streams end when it is shut down, and unknown routes are answered in JSON.
        """
        app.middlewares.append(json_errors)
        app.add_routes(self.routes())
        app.on_shutdown.append(self._shut_down)
        app.on_cleanup.append(self._clean_up)

    async def _shut_down(self, _: web.Application) -> None:
        self._streams.close()

    async def _clean_up(self, _: web.Application) -> None:
        self._end_of_figures()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes; fixed ones come before the actions and queries."""
        return [
            web.get('/health', self._answered(self.health, is_open=True)),
            web.get('/status', self._answered(self.status)),
            web.get('/ready', self._answered(self.ready)),
            web.get('/metrics', self._answered(self.metrics)),
            web.get('/events', self._answered(self._streams.serve), allow_head=False),
            web.post('/', self._answered(self.solo_or_attach)),
            web.delete('/', self._answered(self.detach_or_reset)),
            web.post('/leadership', self._answered(self.transfer_leadership)),
            web.post('/snapshot', self._answered(self.take_snapshot)),
            web.post('/{name}', self._answered(self.call)),
        ]

    def _answered(self, handler: Handler, *, is_open: bool = False) -> Handler:
        """Return the handler with its gate, and with an answer in JSON to whatever it raises."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                if not is_open:
                    self._access.check_client(request)
                    _refuse_foreign_page(request)
                    check_cluster(request, self._node)
                return await handler(request)
            except web.HTTPException as error:
                if error.content_type == 'application/json':
                    raise
                return refuse_exception(error)
            except ConsensualError as error:
                return refuse_error(told_by(self._node, error))
            except Exception as error:
                self._node.logger.exception('%s %s failed', request.method, request.path)
                return refuse(500, f'a bug of consensual, please report it: {error!r}')

        return handle

    # what it is

    async def health(self, _: web.Request) -> web.StreamResponse:
        """Tell that the process is up, and the node has not failed."""
        if self._node.status.failure is not None:
            return refuse(503, 'the node has failed: see its status')
        return answer('up')

    async def status(self, _: web.Request) -> web.StreamResponse:
        """Return the `NodeStatus`."""
        return answer(self._node.status)

    async def ready(self, _: web.Request) -> web.StreamResponse:
        """Tell whether the node has a leader, and is caught up."""
        if reason := why_not_ready(self._node):
            return refuse(503, reason)
        return answer('ready')

    async def metrics(self, _: web.Request) -> web.StreamResponse:
        """Return the figures, as Prometheus reads them."""
        if self._exposition is None:
            return refuse(501, 'metrics take prometheus-client: pip install prometheus-client')
        headers = {'Content-Type': self._exposition.content_type}
        return web.Response(body=self._exposition.text(), headers=headers)

    # what is done to it

    async def solo_or_attach(self, request: web.Request) -> web.StreamResponse:
        """Found a cluster; with a list of URLs, attach those nodes."""
        timeout = timeout_of(request, CHANGE_TIMEOUT)
        operations = self._node.operations
        body = await read_json(request)
        if body is NOTHING:
            await _within(timeout, 'solo', operations.solo())
        else:
            await operations.attach_nodes(urls_in(body), timeout=timeout)
        return answer(None)

    async def detach_or_reset(self, request: web.Request) -> web.StreamResponse:
        """Leave the cluster; with a list of URLs, detach those; erase only what is asked for.

        Raises `InvalidParameters`, also for a reset of others.
        """
        timeout = timeout_of(request, CHANGE_TIMEOUT)
        operations = self._node.operations
        is_reset = flag_of(request, 'reset')
        body = await read_json(request)
        if is_reset and body is not NOTHING:
            raise InvalidParameters('a reset is of this node: leave the body out')
        if is_reset:
            await _within(timeout, 'the reset', operations.reset())
        elif body is NOTHING:
            await operations.leave(timeout=timeout)
        else:
            await operations.detach_nodes(urls_in(body), timeout=timeout)
        return answer(None)

    async def transfer_leadership(self, request: web.Request) -> web.StreamResponse:
        """Hand the leadership to the voter that is named, or to the best one; tell which."""
        timeout = timeout_of(request, CHANGE_TIMEOUT)
        body = await read_json(request)
        url = None if body is NOTHING else url_in(body)
        transfer = self._node.operations.transfer_leadership(url)
        await _within(timeout, 'the transfer', transfer)
        return answer({'leader': self._node.status.leader})

    async def take_snapshot(self, request: web.Request) -> web.StreamResponse:
        """Have the log compacted; tell up to where."""
        timeout = timeout_of(request, CHANGE_TIMEOUT)
        await _within(timeout, 'the snapshot', self._node.operations.take_snapshot())
        return answer({'snapshot_index': self._node.status.snapshot_index})

    async def call(self, request: web.Request) -> web.StreamResponse:
        """Run an action, or else a query, of that name. Raises `UnknownAction`."""
        name = request.match_info['name']
        timeout = timeout_of(request, TIMEOUT)
        is_action = name in self._node.processors
        if not is_action and name not in self._node.queries:
            raise UnknownAction(
                f'{name!r} is no action and no query of this node; there are the actions '
                f'{sorted(self._node.processors)} and the queries {sorted(self._node.queries)}'
            )
        body = await read_json(request)
        parameters = None if body is NOTHING else body
        if is_action:
            return answer(await self._node.execute(name, parameters, timeout=timeout))
        return await self._query(request, name, parameters, timeout)

    async def _query(
        self, request: web.Request, name: str, parameters: Any, timeout: float
    ) -> web.StreamResponse:
        consistency: Any = request.query.get('consistency', 'linearizable')
        query = self._node.query(name, parameters, consistency=consistency, timeout=timeout)
        try:
            result = await _within(timeout + GRACE, f'the query {name!r}', query)
        except ConsensualError:
            raise
        except Exception as error:  # noqa: BLE001 - the user's: it is the query's outcome
            return refuse(422, f'query {name!r} raised {error!r}')
        return answer(result)


def why_not_ready(node: Node) -> Optional[str]:
    """Return why the node does not serve yet, or not any more; None when it does.

    It does when it votes, has heard its leader within T, or leads, and has applied what is
    committed, up to `LAG_LIMIT` entries. Where it does not know yet, all that it has may be.
    """
    status, measures = node.status, node.measures()
    if status.failure is not None:
        return 'the node has failed: see its status'
    if status.role == 'detached':
        return 'the node is in no cluster'
    if status.leader is None or measures.silence is None:
        return 'the node knows no leader'
    if measures.silence > measures.election_timeout:
        return f'the leader was not heard for {measures.silence:.1f} s'
    if node.url not in status.voters:
        return 'the node does not vote yet: it is catching up'
    if measures.knows_commit:
        lag, which = status.commit_index - status.applied_index, 'committed entries'
    else:
        lag, which = status.last_index - status.applied_index, 'entries'
    if lag > LAG_LIMIT:
        return f'the node has {lag} {which} to apply'
    return None


async def _within(timeout: float, what: str, call: Coroutine[Any, Any, Any]) -> Any:
    """Return what the call returns. Raises `OutcomeUnknown` when its time is over."""
    try:
        async with time_limit(timeout) as limit:
            return await call
    except TimeoutError:
        if not limit.expired():
            raise
        raise OutcomeUnknown(f'{what} was not seen done in time: see the status') from None


def _refuse_foreign_page(request: web.Request) -> None:
    """Refuse what a browser sends for a page of another site, with its user's reach.

    Raises `HTTPForbidden`.
    """
    origin = request.headers.get('Origin')
    if origin is not None and origin.partition('://')[2] != request.host:
        raise web.HTTPForbidden(reason='pages of other sites may not ask this node')


def _exposition(node: Node, figures: Figures) -> Optional['Exposition']:
    """Return what writes the figures down, None where prometheus-client is not installed."""
    try:
        from consensual.http.exposition import Exposition  # noqa: PLC0415 - it may be missing
    except ImportError:
        return None
    return Exposition(node, figures)
