"""Outgoing calls: each has a deadline of its own and is answered exactly once.

Knows the Sender; what is sent and what an answer means it does not.
"""

import logging
from asyncio import AbstractEventLoop, CancelledError, Task, TimerHandle, wait
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Optional

from yarl import URL

from consensual.raft.core.configuration import NodeId
from consensual.raft.core.messages import KINDS, Reply, Request, decode_reply, encode
from consensual.raft.driver.cancellation import is_being_cancelled
from consensual.raft.driver.ports import Sender
from consensual.raft.errors import ConsensualError, InvalidMessage

UNENDED_LIMIT = 256
"""Calls to one peer that may be under way, those included that a Sender never ends."""

OnReply = Callable[[Request, Optional[Reply]], None]
"""Called with a request and its reply, or None when there is none."""


class Peers:
    """The nodes that this one sends to.

    timeout: seconds after which a call has failed.
    """

    def __init__(
        self, sender: Sender, timeout: float, loop: AbstractEventLoop, logger: logging.Logger
    ) -> None:
        self._sender = sender
        self._timeout = timeout
        self._loop = loop
        self._logger = logger
        self._urls: dict[NodeId, URL] = {}
        self._tasks: set[Task[None]] = set()
        self._unended: Counter[NodeId] = Counter()

    def __repr__(self) -> str:
        return f'Peers({", ".join(self._urls)}; {len(self._tasks)} calls under way)'

    def knows(self, node_id: NodeId) -> bool:
        """The node can be sent to."""
        return node_id in self._urls

    def follow(self, contacts: Mapping[NodeId, str]) -> None:
        """Send to these nodes from now on, and tell the Sender."""
        if {node_id: str(url) for node_id, url in self._urls.items()} != contacts:
            self._urls = {
                node_id: self._urls.get(node_id) or URL(url) for node_id, url in contacts.items()
            }
            self._sender.urls = frozenset(self._urls.values())

    def call(self, request: Request, on_reply: OnReply) -> None:
        """Send, and report the reply, or that there is none, once."""
        receiver = request.route.receiver
        url = self._urls.get(receiver)
        if url is None or self._unended[receiver] >= UNENDED_LIMIT:
            self._loop.call_soon(on_reply, request, None)
            return
        call = _Call(request, on_reply)
        task = self._loop.create_task(self._exchange(call, url))
        call.timer = self._loop.call_later(self._timeout, self._expire, call, task)
        self._tasks.add(task)
        self._unended[receiver] += 1

        def ended(task: Task[None]) -> None:
            self._tasks.discard(task)
            self._unended[receiver] -= 1

        task.add_done_callback(ended)

    async def stop(self) -> None:
        """End the calls under way; nobody is told."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            _, unended = await wait(self._tasks, timeout=self._timeout)
            if unended:
                self._logger.warning('the sender ignores that %d calls were ended', len(unended))

    def _expire(self, call: '_Call', task: Task[None]) -> None:
        """Report the failure now, whenever the Sender lets itself be cancelled."""
        call.answer(None)
        task.cancel()

    async def _exchange(self, call: '_Call', url: URL) -> None:
        request = call.request
        try:
            message = await self._sender.send(
                kind=KINDS[type(request)], message=encode(request), url=url
            )
            reply = decode_reply(request, message)
        except InvalidMessage as error:
            self._logger.warning('invalid answer of %s: %s', url, error)
        except ConsensualError as error:
            self._logger.debug('no answer of %s: %s', url, error)
        except CancelledError:
            if is_being_cancelled():
                call.end()
                raise
            self._logger.warning('the sender to %s was cancelled', url)
        except Exception:  # a transport may do anything: it is one call without an answer
            self._logger.exception('the sender failed to reach %s', url)
        else:
            call.answer(reply)
            return
        call.answer(None)


class _Call:
    """One request under way."""

    __slots__ = '_on_reply', 'request', 'timer'

    def __init__(self, request: Request, on_reply: OnReply) -> None:
        self.request = request
        self._on_reply: Optional[OnReply] = on_reply
        self.timer: Optional[TimerHandle] = None

    def end(self) -> None:
        """Nobody is told any more."""
        self._on_reply = None
        self.answer(None)

    def answer(self, reply: Optional[Reply]) -> None:
        """Report, unless that was done."""
        if self.timer is not None:
            self.timer.cancel()
        on_reply, self._on_reply = self._on_reply, None
        if on_reply is not None:
            on_reply(self.request, reply)
