"""What a node shows of itself, and who watches it change."""

from asyncio import Event
from collections import deque
from collections.abc import AsyncGenerator
from typing import Optional

from msgspec import Struct
from yarl import URL

from consensual.raft.core.configuration import Member
from consensual.raft.core.roles import RoleName
from consensual.raft.core.state import State

WATCH_LIMIT = 1024
"""Changes that a slow watcher can be behind; older ones are dropped."""


class NodeStatus(Struct, frozen=True):
    """A node at one moment.

    id: the authority of its URL.
    leader: whom it takes for the leader, None when it knows none.
    voters: everyone who votes; while not `stable`, those of both configurations.
    stable: no membership change is under way, as far as its log tells.
    last_index, commit_index, applied_index, snapshot_index: positions in its log.
    failure: why it stopped by itself, as text; None when it did not.
    """

    url: URL
    id: str
    role: RoleName
    term: int
    leader: Optional[URL]
    cluster_id: Optional[str]
    voters: tuple[URL, ...]
    learners: tuple[URL, ...]
    stable: bool
    last_index: int
    commit_index: int
    applied_index: int
    snapshot_index: int
    failure: Optional[str] = None


def describe(
    url: URL,
    node_id: str,
    state: Optional[State],
    applied_index: int,
    failure: Optional[Exception],
) -> NodeStatus:
    """Return the status of a node; one that does not run has no state."""
    reason = f'{type(failure).__name__}: {failure}' if failure is not None else None
    if state is None:
        return NodeStatus(
            url, node_id, 'detached', 0, None, None, (), (), True, 0, 0, applied_index, 0, reason
        )
    leader = state.leader
    leader_url = None
    if leader == state.id:
        leader_url = url
    elif leader is not None and (member := state.configuration.find(leader)) is not None:
        leader_url = URL(member.url)
    configuration = state.configuration
    is_member = state.is_attached
    return NodeStatus(
        url,
        node_id,
        state.role.name,
        state.current_term,
        leader_url,
        state.cluster_id or None,
        _urls(configuration.electors) if is_member else (),
        _urls(configuration.learners) if is_member else (),
        configuration.is_stable or not is_member,
        state.log.last_index,
        state.commit_index,
        applied_index,
        state.snapshot_index,
        reason,
    )


def _urls(members: tuple[Member, ...]) -> tuple[URL, ...]:
    return tuple(URL(member.url) for member in members)


class Watchers:
    """Everyone who iterates over `Node.watch`."""

    def __init__(self) -> None:
        self._watchers: set[_Watcher] = set()

    def tell(self, status: NodeStatus) -> None:
        """Show everyone the change."""
        for watcher in self._watchers:
            watcher.statuses.append(status)
            watcher.event.set()

    def end(self) -> None:
        """No change will come any more."""
        for watcher in self._watchers:
            watcher.is_over = True
            watcher.event.set()

    async def watch(self, now: NodeStatus) -> AsyncGenerator[NodeStatus, None]:
        """Yield the status of now, then every change."""
        watcher = _Watcher(now)
        self._watchers.add(watcher)
        try:
            while True:
                while watcher.statuses:
                    yield watcher.statuses.popleft()
                if watcher.is_over:
                    return
                watcher.event.clear()
                await watcher.event.wait()
        finally:
            self._watchers.discard(watcher)


class _Watcher:
    __slots__ = 'event', 'is_over', 'statuses'

    def __init__(self, now: NodeStatus) -> None:
        self.statuses = deque([now], maxlen=WATCH_LIMIT)
        self.event = Event()
        self.is_over = False
