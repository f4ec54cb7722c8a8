"""The node: the library's front door, where the driver and the adapters meet.

Every public call is here; what it takes to do it is in `driver`, the rules are
in `core`.
"""

import logging
from asyncio import AbstractEventLoop, CancelledError
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping
from contextlib import aclosing
from random import Random
from types import MappingProxyType
from typing import Any, Literal, Optional, Self

from yarl import URL

from consensual.raft.core.events import ConnectionLost
from consensual.raft.core.messages import MessageKind
from consensual.raft.core.state import Settings
from consensual.raft.driver import parameters as codec
from consensual.raft.driver.actions import actions_of, check_action
from consensual.raft.driver.addresses import address_of
from consensual.raft.driver.applier import Applier, Listener, refuse_inside_processor
from consensual.raft.driver.arguments import CHANGE_TIMEOUT, checked, settings_of
from consensual.raft.driver.between import call_between_commands
from consensual.raft.driver.changes import Changes
from consensual.raft.driver.clerk import Clerk
from consensual.raft.driver.engine import Engine
from consensual.raft.driver.gateway import Gateway
from consensual.raft.driver.life import Life, Run
from consensual.raft.driver.measures import Measures, measure
from consensual.raft.driver.meter import Meter
from consensual.raft.driver.operations import Operations
from consensual.raft.driver.ports import Observer, Processor, Sender, StateMachine, Storage
from consensual.raft.driver.reader import Reader
from consensual.raft.driver.recording import Recorder
from consensual.raft.driver.snapshotter import Snapshotter
from consensual.raft.driver.status import NodeStatus, Watchers, describe
from consensual.raft.errors import (
    ConsensualError,
    InvalidParameters,
    UnknownQuery,
)

Consistency = Literal['linearizable', 'local']


class Node:
    """One replica: a member of a cluster, or a node waiting to become one.

    Make it with `from_url`. Calls that "return None or error text" return None
    only when the thing is done, committed, and applied on this node.
    """

    def __init__(  # noqa: PLR0913 - see from_url
        self,
        url: URL,
        *,
        sender: Sender,
        processors: Mapping[str, Processor],
        state_machine: Optional[StateMachine],
        storage: Storage,
        recorder: Optional[Recorder],
        settings: Settings,
        logger: logging.Logger,
        loop: Optional[AbstractEventLoop],
        random: Random,
    ) -> None:
        self._address = address_of(url)
        self._url = url
        self._sender = sender
        self._processors = MappingProxyType(dict(processors))
        self._state_machine = state_machine
        self._storage = storage
        self._recorder = recorder
        self._settings = settings
        self._logger = logger
        self._random = random
        self._watchers = Watchers()
        self._life = Life(
            self._address.id, self._make_run, loop=loop, logger=logger, on_end=self._watchers.end
        )
        self._applier = Applier(processors, state_machine, logger, self._life.fail)
        self._meter = Meter(self._applier)
        self._operations = Operations(url, self._life, self._applier, settings)
        self._gateway = Gateway(self._address.id, self._life, self._applier, self._processors)

    @classmethod
    def from_url(  # noqa: PLR0913 - each has a default that does
        cls,
        url: URL,
        *,
        sender: Sender,
        processors: Optional[Mapping[str, Processor]] = None,
        state_machine: Optional[StateMachine] = None,
        storage: Optional[Storage] = None,
        heartbeat: float = 0.1,
        election_timeout: Optional[float] = None,
        snapshot_every: int = 10_000,
        logger: Optional[logging.Logger] = None,
        loop: Optional[AbstractEventLoop] = None,
        random: Optional[Random] = None,
        recorder: Optional[Recorder] = None,
    ) -> 'Node':
        """Make a node. Does no I/O and needs no event loop.

        url: where other nodes find it, and its name: nothing is looked up.
        sender: carries its messages to the others.
        processors: the actions by name, functions of a command's parameters,
            sync or async; those of `state_machine` are added to them.
        storage: keeps its data; without one, they are lost with the process.
        heartbeat: seconds between a leader's messages.
        election_timeout: seconds, T; a leader that is silent for T to 2 T is
            replaced. 5 heartbeats unless given.
        snapshot_every: entries of the log after which a snapshot is taken, if the state
            machine has `snapshot` and `restore`; as many are kept behind it. Sooner where they
            are large, later where the state is larger than they are.
        loop: the event loop that it will live on; else the one of its first use.
        random: for reproducible runs. Give each node, and each restart of one,
            a seed of its own: an incarnation is drawn from it.
        recorder: sees all that its Raft takes in and gives out, to be replayed:
            see `consensual.testing.TraceRecorder`.

        Raises `InvalidAddress` and `InvalidParameters`.
        """
        from consensual.storage import MemoryStorage  # noqa: PLC0415 - storages import this package

        return cls(
            url,
            sender=sender,
            processors=actions_of(processors, state_machine),
            state_machine=state_machine,
            storage=MemoryStorage() if storage is None else storage,
            recorder=recorder,
            settings=settings_of(heartbeat, election_timeout, snapshot_every),
            logger=logger or logging.getLogger('consensual'),
            loop=loop,
            random=Random() if random is None else random,  # noqa: S311 - no secret is drawn from it
        )

    def __repr__(self) -> str:
        status = self.status
        return (
            f'<Node {status.id}: {status.role} in term {status.term}, '
            f'applied {status.applied_index} of {status.last_index}>'
        )

    # what it is

    @property
    def url(self) -> URL:
        """Where other nodes find it."""
        return self._url

    @property
    def processors(self) -> Mapping[str, Processor]:
        """The actions by name, those of the state machine included."""
        return self._processors

    @property
    def queries(self) -> Mapping[str, Processor]:
        """The queries by name, those of the state machine."""
        queries: Mapping[str, Processor] = getattr(self._state_machine, 'queries', {})
        return queries

    @property
    def operations(self) -> Operations:
        """The calls that return None or error text, with typed errors in place of the text."""
        return self._operations

    @property
    def gateway(self) -> Gateway:
        """What clients in other processes have this node do, in sessions of their own."""
        return self._gateway

    @property
    def sender(self) -> Sender:
        """What carries its messages."""
        return self._sender

    @property
    def logger(self) -> logging.Logger:
        """Where it tells what happens to it."""
        return self._logger

    @property
    def loop(self) -> Optional[AbstractEventLoop]:
        """The event loop that it lives on; None before its first use."""
        return self._life.loop

    @property
    def status(self) -> NodeStatus:
        """What it is at this moment."""
        life = self._life
        applied_index = self._applier.applied_index
        return describe(self._url, self._address.id, life.state, applied_index, life.failure)

    async def watch(self) -> AsyncGenerator[NodeStatus, None]:
        """Yield the status, and again after each change of role, term, leader or membership.

        Ends when the node is stopped. A watcher that lags far behind misses the
        oldest changes.
        """
        await self._life.running()
        async with aclosing(self._watchers.watch(self.status)) as statuses:
            async for status in statuses:
                yield status

    def measures(self) -> Measures:
        """Return figures of this moment, beyond the status: of its peers, log and snapshot."""
        state, loop = self._life.state, self._life.loop
        now = loop.time() if loop is not None else 0.0
        return measure(state, self._settings.election_timeout, now)

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Tell the observer what this node does, in figures, until what is returned is called."""
        return self._meter.add(observer, self._life.state)

    # its life

    async def start(self) -> None:
        """Recover from the storage and begin to take part; running already, do nothing.

        The first other call does it, too, on a node that was never stopped.
        Raises what the storage raises, and `WrongLoop`.
        """
        refuse_inside_processor('start')
        await self._life.start()

    async def stop(self) -> None:
        """Stop taking part; a leader hands over first. Membership is unchanged.

        What waits fails; the processor that runs is let end. Stopped or never
        started, do nothing.
        """
        refuse_inside_processor('stop')
        await self._life.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _make_run(self, loop: AbstractEventLoop) -> Run:
        self._meter.begin(loop)
        engine = Engine(
            self._address,
            settings=self._settings,
            random=self._random,
            loop=loop,
            sender=self._sender,
            storage=self._storage,
            applier=self._applier,
            recorder=self._recorder,
            meter=self._meter,
            logger=self._logger,
            on_change=self._show_change,
            on_failure=self._life.fail,
        )
        opener = f'{self._address.id} {self._random.getrandbits(64):016x}'
        clerk, reader = Clerk(engine, opener), Reader(engine, self._applier)
        changes = Changes(engine, self._applier, self._random)
        snapshotter = Snapshotter(engine, self._applier, self._logger)
        engine.contributors = clerk, reader, snapshotter
        engine.waiting = clerk, reader, changes, snapshotter
        self._applier.listener = Listener(
            clerk.command_applied,
            clerk.command_forgotten,
            clerk.session_opened,
            changes.configuration_applied,
            clerk.was_reset,
            clerk.was_restored,
        )
        return Run(engine, clerk, reader, changes, snapshotter)

    def _show_change(self) -> None:
        if self._life.run is not None:
            self._life.run.changes.node_changed()
            self._watchers.tell(self.status)

    async def receive(self, *, kind: MessageKind, message: Any) -> Any:
        """Take a peer's message and return the reply: what a Receiver calls.

        kind, message: as a Sender was given them.

        Raises `InvalidMessage` for what does not validate (nothing changed), and
        `NodeStopped`.
        """
        run = await self._life.running()
        return await run.engine.receive(kind, message)

    def connection_lost(self, url: URL) -> None:
        """Take note that a connection to a node, which was up, broke: what a transport calls.

        If that node leads, its successor is looked for at once, not after an election
        timeout. Not to be called for a single message that failed. On the node's loop.
        """
        if self._life.run is not None:
            self._life.run.engine.post(ConnectionLost(address_of(url).id))

    # commands and reads

    async def enqueue(
        self, action: str, parameters: Any = None, *, timeout: float = 5.0
    ) -> Optional[str]:
        """Have a command applied, once, on every node; return None or error text.

        None only when it is committed and applied on this node. See `execute`.
        """
        try:
            await self.execute(action, parameters, timeout=timeout)
        except ConsensualError as error:
            return _text(error)
        return None

    async def execute(self, action: str, parameters: Any = None, *, timeout: float = 5.0) -> Any:
        """Have a command applied, once, on every node; return what this node's processor did.

        action: the name of a processor.
        parameters: anything that JSON can carry, up to 1 MiB.
        timeout: seconds to try, across changes of leaders.

        Raises `UnknownAction`, `InvalidParameters`; `ProcessorFailed` when the
        processor raised; `NoLeader`, `Overloaded` and `NotMember` when nothing was done;
        `OutcomeUnknown` when it may or may not be applied.
        """
        run = await self._life.running()
        refuse_inside_processor('execute')
        check_action(action, self._processors, self._address.id)
        call = run.clerk.submit(action, codec.encode(action, parameters), checked(timeout))
        try:
            return await call.future
        except CancelledError:
            run.clerk.drop(call)
            raise

    async def ensure_linearizable(self, *, timeout: float = 5.0) -> None:
        """Wait until this node's state reflects every command completed before the call.

        timeout: seconds.

        Raises `NoLeader`, `LeadershipLost`, `NotMember`.
        """
        run = await self._life.running()
        refuse_inside_processor('ensure_linearizable')
        await run.reader.ensure_linearizable(checked(timeout))

    async def query(
        self,
        name: str,
        parameters: Any = None,
        *,
        consistency: Consistency = 'linearizable',
        timeout: float = 5.0,
    ) -> Any:
        """Return the result of a query of the state machine, run on this node only.

        name, parameters: of the query, and what it is given, as it stands.
        consistency: 'linearizable' waits like `ensure_linearizable`; 'local'
            answers at once, from a state that may be old.
        timeout: seconds to wait.

        Raises `UnknownQuery`, `InvalidParameters`, and what `ensure_linearizable` raises; what the
        query raises passes through.
        """
        queries = self.queries
        if not isinstance(name, str) or name not in queries:
            raise UnknownQuery(
                f'{name!r} is no query of {self._address.id}; there are {sorted(queries)}'
            )
        if consistency == 'linearizable':
            await self.ensure_linearizable(timeout=timeout)
            result = await call_between_commands(self._applier, lambda: queries[name](parameters))
        elif consistency == 'local':
            await self._life.running()
            if self._applier.is_restoring:
                await call_between_commands(self._applier, lambda: None)
            result = queries[name](parameters)
        else:
            raise InvalidParameters(
                f"consistency is 'linearizable' or 'local', not {consistency!r}"
            )
        return await result if hasattr(result, '__await__') else result

    # membership

    async def solo(self) -> Optional[str]:
        """Leave whatever cluster this is and lead a new one, alone; return None or error text.

        Nobody is asked: the old cluster goes on without this node, or, if it
        lost its majority, stays lost. History and state are kept.
        """
        return await _as_text(self._operations.solo())

    async def attach_nodes(
        self, urls: Collection[URL], *, timeout: float = CHANGE_TIMEOUT
    ) -> Optional[str]:
        """Make voters of new or reset nodes; return None or error text.

        urls: of the nodes, all of them at once.
        timeout: seconds to try.

        None when all of them have caught up and vote in a stable cluster, as
        this node's own log tells. On any member.
        """
        return await _as_text(self._operations.attach_nodes(urls, timeout=timeout))

    async def detach_nodes(
        self, urls: Collection[URL], *, timeout: float = CHANGE_TIMEOUT
    ) -> Optional[str]:
        """Remove members, this one or the leader among them, too; return None or error text.

        urls: of the members, all of them at once.
        timeout: seconds to try.
        """
        return await _as_text(self._operations.detach_nodes(urls, timeout=timeout))

    async def detach(self) -> Optional[str]:
        """Leave the cluster; return None or error text.

        The last member ends the cluster and keeps its history. A node that is
        detached already is reset: log, term, vote, sessions and state machine
        are erased, and it may be attached to any cluster.
        """
        return await _as_text(self._detach())

    async def _detach(self) -> None:
        run = await self._life.running()
        if run.engine.state.is_attached:
            await self._operations.leave()
        else:
            await self._operations.reset()

    async def take_snapshot(self) -> None:
        """Have the log compacted now: a snapshot takes the place of what was applied.

        Returns when it is durable. A node does so by itself, too, see `from_url`.

        Raises `SnapshotUnsupported` without a state machine that has `snapshot` and
        `restore`, `SnapshotFailed` when its `snapshot` raised or returned what JSON cannot
        carry, and why the node stopped.
        """
        await self._operations.take_snapshot()

    async def transfer_leadership(self, url: Optional[URL] = None) -> Optional[str]:
        """Have the leadership handed to a voter, the best one unless named.

        Returns None once this node knows the new leader, or error text. On any
        member.
        """
        return await _as_text(self._operations.transfer_leadership(url))


async def _as_text(call: Coroutine[Any, Any, Any]) -> Optional[str]:
    """Return None for what succeeded and the error's text for what failed."""
    try:
        await call
    except ConsensualError as error:
        return _text(error)
    return None


def _text(error: ConsensualError) -> str:
    return str(error) or type(error).__name__
