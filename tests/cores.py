"""Cores driven by hand: their clock and their storage; the network is `core_clusters`.

The driver's duties and builders of what tests start from; no rule of Raft.
"""

import itertools
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Optional

from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from consensual.raft.core.configuration import Address, Configuration, Member
from consensual.raft.core.effects import HardState, Stored, Write
from consensual.raft.core.events import Event, Persisted, Received, Replied, Woken
from consensual.raft.core.log import Command, Entry, Reconfiguration
from consensual.raft.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    ChangeMembership,
    Propose,
    ReadIndex,
    Reply,
    Request,
    RequestPreVote,
    RequestVote,
    Route,
    TransferLeadership,
    VoteReply,
)
from consensual.raft.core.raft import Raft
from consensual.raft.core.roles import Leader
from consensual.raft.core.state import Settings, State

REPRODUCIBLE = hypothesis_settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
"""The same examples in every run, however slow the machine."""

CLUSTER = 'cluster'
HEARTBEAT, T, ATTACH_TIMEOUT = 0.125, 0.5, 5.0
SETTINGS = Settings(HEARTBEAT, T, ATTACH_TIMEOUT)


def address(id_: str) -> Address:
    """Return where that node is."""
    return Address(id_, f'memory://{id_}')


def member(id_: str, life: int = 1) -> Member:
    """Return the node in its n-th life."""
    return Member(id_, f'memory://{id_}', f'{id_}{life}')


def configuration(voters: str, outgoing: str = '', learners: str = '') -> Configuration:
    """Return the configuration of those nodes; a node is named by one letter."""
    return Configuration(
        tuple(map(member, voters)), tuple(map(member, outgoing)), tuple(map(member, learners))
    )


def route(sender: str, receiver: str) -> Route:
    """Return the way from one node to another, both in their first life."""
    return Route(CLUSTER, sender, f'{sender}1', receiver, f'{receiver}1')


def command(text: str, sequence: int = 0) -> Command:
    """Return a command that differs from others by its text."""
    return Command(1, sequence, 0, 'act', f'"{text}"')


def log_of(
    terms: Sequence[int],
    voters: str = 'abc',
    configurations: Optional[Mapping[int, Configuration]] = None,
) -> list[Entry]:
    """Return a log with entries of those terms; the first names the voters.

    Entries of the same index and term are equal in all logs (log matching).
    """
    named = {1: configuration(voters), **(configurations or {})}
    return [
        Entry(
            term,
            0.0,
            Reconfiguration(named[index], f'change {index}')
            if index in named
            else command(f'{term}.{index}'),
        )
        for index, term in enumerate(terms, 1)
    ]


def stored(
    id_: str,
    terms: Sequence[int] = (1,),
    *,
    term: int = 0,
    voted_for: str = '',
    voters: str = 'abc',
    configurations: Optional[Mapping[int, Configuration]] = None,
) -> Stored:
    """Return what the storage of a member holds; its term is its last entry's unless given."""
    return Stored(
        HardState(
            f'{id_}1',
            CLUSTER,
            True,
            max(term, *terms, 0, 0),
            voted_for,
            f'{voted_for}1' if voted_for else '',
        ),
        log_of(terms, voters, configurations),
    )


def append_entries(
    receiver: str = 'a',
    *,
    term: int,
    prev: tuple[int, int],
    entries: Sequence[Entry] = (),
    commit: int = 0,
    number: int = 1,
    sender: str = 'b',
) -> AppendEntries:
    """Return AppendEntries; `prev` is an index and its term."""
    return AppendEntries(route(sender, receiver), term, number, *prev, list(entries), commit)


def request_vote(
    receiver: str = 'a',
    *,
    term: int,
    last: tuple[int, int],
    sender: str = 'b',
    position: tuple[int, int] = (1, 1),
    is_transfer: bool = False,
) -> RequestVote:
    """Return RequestVote; `last` is an index and its term, `position` a term and an index."""
    return RequestVote(route(sender, receiver), term, *last, *position, is_transfer)


def request_pre_vote(
    receiver: str = 'a',
    *,
    term: int,
    last: tuple[int, int],
    sender: str = 'b',
    position: tuple[int, int] = (1, 1),
) -> RequestPreVote:
    """Return RequestPreVote; `last` is an index and its term, `position` a term and an index."""
    return RequestPreVote(route(sender, receiver), term, 1, *last, *position)


def acknowledge(request: AppendEntries) -> AppendEntriesReply:
    """Return a follower's success."""
    return AppendEntriesReply(request.route.back(), request.term, request.number, True)


def reject(request: AppendEntries, hint: tuple[int, int], term: int = 0) -> AppendEntriesReply:
    """Return a follower's failure, with an index and a term as its hint."""
    return AppendEntriesReply(
        request.route.back(), term or request.term, request.number, False, *hint
    )


def vote(request: RequestVote | RequestPreVote, granted: bool = True, term: int = 0) -> VoteReply:
    """Return the answer of a voter, which is in the asker's term unless given."""
    is_real = isinstance(request, RequestVote)
    return VoteReply(request.route.back(), term or request.term - (not is_real), granted)


class Clock:
    """The time of a test, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0


class Core:
    """One core with its storage; what it asks for is kept until it is taken.

    is_disk_slow: writes wait for `persist`.
    disk: what a restart would find.
    """

    def __init__(
        self,
        id_: str,
        disk: Optional[Stored] = None,
        *,
        settings: Settings = SETTINGS,
        commit_index: int = 0,
        clock: Optional[Clock] = None,
        is_disk_slow: bool = False,
    ) -> None:
        self.id = id_
        self.clock = clock or Clock()
        self.disk = disk
        self.is_disk_slow = is_disk_slow
        self.write: Optional[Write] = None
        self.requests: list[Request] = []
        self.answers: dict[int, Reply] = {}
        self.applied: list[tuple[int, Entry]] = []
        self.notices: list[str] = []
        self.resets = 0
        self.deadline: Optional[float] = None
        self._calls = itertools.count(1)
        self.raft = Raft(
            address(id_),
            settings=settings,
            random=Random(id_),
            stored=disk,
            commit_index=commit_index,
            now=self.clock.now,
        )
        self.take()

    def __repr__(self) -> str:
        return f'Core({self.raft!r})'

    @property
    def state(self) -> State:
        """What the core knows."""
        return self.raft.state

    @property
    def role(self) -> str:
        """The name of the role."""
        return self.state.role.name

    @property
    def leader(self) -> Leader:
        """The role, of who must be leading."""
        assert isinstance(self.state.role, Leader), self
        return self.state.role

    @property
    def terms(self) -> list[int]:
        """The terms of the log's entries."""
        return [entry.term for entry in self.entries]

    @property
    def entries(self) -> list[Entry]:
        """The log."""
        return self.state.log.entries(1, self.state.log.last_index)

    def step(self, *events: Event) -> None:
        """Step through the events of one turn and keep what comes of it."""
        for event in events:
            self.raft.step(event, self.clock.now)
        self.take()

    def take(self) -> None:
        """Carry out the effects, as a driver would."""
        effects = self.raft.take_effects(self.clock.now)
        self.requests += effects.requests
        self.answers.update(effects.answers)
        self.notices += [notice.text for notice in effects.notices]
        self.resets += effects.reset
        self.applied += enumerate(effects.committed, effects.first_committed)
        self.deadline = effects.deadline
        if effects.write is not None:
            self.write = effects.write
            if not self.is_disk_slow:
                self.persist()

    def persist(self) -> None:
        """Make the write under way durable."""
        write, self.write = self.write, None
        assert write is not None, 'nothing is being written'
        hard_state = write.hard_state or (self.disk and self.disk.hard_state)
        assert hard_state is not None
        entries = list(self.disk.entries) if self.disk else []
        if write.first_index is not None:
            entries[write.first_index - 1 :] = write.entries
        self.disk = Stored(hard_state, entries)
        self.step(Persisted(write.number))

    def call(self, request: Request) -> int:
        """Let a request arrive; return the number of the call."""
        call = next(self._calls)
        self.step(Received(call, request))
        return call

    def ask(self, request: Request) -> Optional[Reply]:
        """Let a request arrive; return its answer if it is there."""
        return self.answers.pop(self.call(request), None)

    def reply(self, request: Request, reply: Reply) -> None:
        """Let a reply arrive."""
        self.step(Replied(request, reply))

    def drain(self, type_: Any = object, to: str = '') -> list[Any]:
        """Take away the requests of that type, or to that node, which wait to be sent."""
        taken = [
            request
            for request in self.requests
            if isinstance(request, type_) and request.route.receiver.startswith(to)
        ]
        self.requests = [request for request in self.requests if request not in taken]
        return taken

    def sent(self, type_: Any, to: str) -> Any:
        """Take away the only request of that type to that node."""
        (request,) = self.drain(type_, to)
        return request

    def time_out(self) -> None:
        """Let the core's deadline come; one that is noticed late may be put off once."""
        assert self.deadline is not None, self
        role = self.state.role
        self.clock.now = max(self.clock.now, self.deadline)
        self.step(Woken())
        if self.state.role is role and role.name != 'leader' and self.deadline is not None:
            self.clock.now = max(self.clock.now, self.deadline)
            self.step(Woken())

    def stand(self) -> 'Core':
        """Let the core time out and have everybody's pre-vote; return it as a candidate."""
        self.time_out()
        for request in self.drain(RequestPreVote):
            self.reply(request, vote(request))
        assert self.role in ('candidate', 'leader'), self
        return self

    def win(self, *voters: str) -> 'Core':
        """Let the core time out and be elected by those others; return it."""
        self.stand()
        for request in self.drain(RequestVote):
            if request.route.receiver in voters:
                self.reply(request, vote(request))
        assert self.role == 'leader', self
        return self

    def acknowledge_all(self, *followers: str) -> None:
        """Let those followers acknowledge whatever is sent, until nothing is."""
        for _ in range(1000):
            requests = [item for id_ in followers for item in self.drain(AppendEntries, id_)]
            if not requests:
                return
            for request in requests:
                self.reply(request, acknowledge(request))
        raise AssertionError('the leader never comes to rest')

    def propose(self, *texts: str) -> Optional[Reply]:
        """Propose commands as this node's own callers do."""
        return self.ask(Propose(self.to_itself(), [command(text) for text in texts]))

    def to_itself(self) -> Route:
        """Return the way of what this node's own callers ask."""
        return self.state.route_to(self.state.me)

    def read(self) -> int:
        """Ask for a read index; return the number of the call."""
        return self.call(ReadIndex(self.to_itself()))

    def transfer(self, target: str = '') -> Optional[Reply]:
        """Ask for a transfer of leadership."""
        return self.ask(TransferLeadership(self.to_itself(), target))

    def attach(self, ids: str, request: str = 'attach') -> Optional[Reply]:
        """Ask for nodes to be attached."""
        return self.ask(
            ChangeMembership(self.to_itself(), request, attach=[address(id_) for id_ in ids])
        )

    def detach(self, ids: str, request: str = 'detach') -> Optional[Reply]:
        """Ask for nodes to be detached."""
        return self.ask(ChangeMembership(self.to_itself(), request, detach=list(ids)))


def follower_core(terms: Sequence[int] = (1,), **options: Any) -> Core:
    """Return core a of a cluster of a, b and c, with that log."""
    id_ = options.pop('id_', 'a')
    commit_index = options.pop('commit_index', 0)
    is_disk_slow = options.pop('is_disk_slow', False)
    settings = options.pop('settings', SETTINGS)
    core = Core(id_, stored(id_, terms, **options), commit_index=commit_index, settings=settings)
    core.is_disk_slow = is_disk_slow
    return core


def leader_core(terms: Sequence[int] = (1,), *, voters: str = 'abc', **options: Any) -> Core:
    """Return core a, elected by all others in the term after its last; nothing is acknowledged."""
    core = follower_core(terms, voters=voters, **options)
    return core.win(*[id_ for id_ in voters if id_ != core.id])
