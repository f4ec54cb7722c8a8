"""One simulated node: what its owner may do with it, and what may befall it.

A name with a disk, through all its lives; each life is a real Node in a process of its own.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Optional, TypeVar

from yarl import URL

from consensual.raft import Node, NodeStatus
from consensual.raft.core.effects import Effects
from consensual.raft.core.events import Event
from consensual.raft.core.state import State
from consensual.raft.driver import parameters as codec
from consensual.raft.driver.recording import Beginning, Recorder
from consensual.raft.errors import InvalidParameters, ProcessorFailed
from consensual.testing.call import Call
from consensual.testing.disk import Disk
from consensual.testing.fingerprint import fingerprint
from consensual.testing.history import outcome_of
from consensual.testing.network import Endpoint, NetworkSender
from consensual.testing.observer import Watcher
from consensual.testing.operation import NotDone, Returned
from consensual.testing.process import Process
from consensual.testing.watched import Machine, Watched, watch
from consensual.testing.world import World

Result = TypeVar('Result')


class Life:
    """What ends with a crash.

    calls: those that go on.
    """

    def __init__(self, node: Node, process: Process, watched: Watched, watcher: Watcher) -> None:
        self.node = node
        self.process = process
        self.watched = watched
        self.watcher = watcher
        self.calls: dict[Call[Any], None] = {}
        self.paused_until = 0.0


class SimulatedNode:
    """A node of a simulation. Its calls are those of `Node` that change or read something.

    Each returns a `Call`; whatever else a Node can do is done by `spawn`.


    name: also the authority of its URL.
    disk: what survives its crashes.
    lives: how many times it was started from its disk.
    is_running: it did not crash, and was not stopped.
    """

    def __init__(self, world: World, name: str, make_machine: Callable[[], Machine]) -> None:
        self.name = name
        self.lives = 0
        self.is_running = False
        self._world = world
        self._make_machine = make_machine
        self._clock_rate, self._lag = 1.0, 0.0
        self._life: Optional[Life] = None
        self.disk = self._new_disk(world.write_time)
        self._begin()

    def __repr__(self) -> str:
        what = repr(self._life.node) if self._life is not None else 'crashed'
        return f'SimulatedNode({self.name!r}, life {self.lives}: {what})'

    # what it is

    @property
    def url(self) -> URL:
        """Where it is found."""
        return url_of(self.name)

    @property
    def is_up(self) -> bool:
        """It did not crash."""
        return self._life is not None

    @property
    def life(self) -> Life:
        """What goes on since its last start. Raises `RuntimeError` when it crashed."""
        if self._life is None:
            raise RuntimeError(f'{self.name} has crashed: restart() it first')
        return self._life

    @property
    def node(self) -> Node:
        """The Node itself, for code that runs in its process: see `spawn`."""
        return self.life.node

    @property
    def machine(self) -> Any:
        """Its state machine."""
        return self.life.watched.machine

    @property
    def status(self) -> NodeStatus:
        """What it is at this moment."""
        return self.node.status

    @property
    def state(self) -> Optional[State]:
        """What its Raft knows, to be read only; None where it crashed or nobody watches it."""
        return self._life.watcher.state if self._life is not None else None

    # commands and reads

    def execute(
        self,
        action: str,
        parameters: Any = None,
        *,
        timeout: float = 5.0,
        client: str = '',
        request: Any = None,
    ) -> Call[Any]:
        """Have a command applied: see `Node.execute`. It is noted in the history.

        client: who asks, in the history; the node unless given.
        request: what is asked for, as a model takes it; (action, parameters) unless given.
        """
        observer, watcher = self._world.observer, self.life.watcher
        text = _encoded(action, parameters)
        if text:
            parameters = codec.decode(text)  # the caller's own may change
        key = action, text
        observer.submitted(key)

        def ended(call: Call[Any]) -> None:
            error = call.error
            if not self._world.is_watched:
                return
            if error is None:
                observer.acknowledged(watcher, key, fingerprint(call.result()))
            elif isinstance(error, ProcessorFailed):
                cause = error.__cause__  # a snapshot keeps only its text
                observer.acknowledged(watcher, key, cause and fingerprint(cause))
            elif isinstance(outcome_of(error), NotDone):
                observer.refused(key, error)

        asked = (action, parameters) if request is None else request
        coroutine = self.node.execute(action, parameters, timeout=timeout)
        call = self._noted(f'execute {action}', coroutine, client, asked)
        call.on_end(ended)
        return call

    def query(
        self,
        name: str,
        parameters: Any = None,
        *,
        timeout: float = 5.0,
        client: str = '',
        request: Any = None,
    ) -> Call[Any]:
        """Run a linearizable query: see `Node.query`. It is noted in the history."""
        asked = (name, parameters) if request is None else request
        coroutine = self.node.query(name, parameters, timeout=timeout)
        check = self._read_check()
        call = self._noted(f'query {name}', coroutine, client, asked, is_of_the_user=True)
        call.on_end(check)
        return call

    def ensure_linearizable(self, *, timeout: float = 5.0) -> Call[None]:
        """See `Node.ensure_linearizable`."""
        check = self._read_check()
        call = self._call('ensure_linearizable', self.node.ensure_linearizable(timeout=timeout))
        call.on_end(check)
        return call

    def _read_check(self) -> Callable[[Call[Any]], None]:
        """Return what checks a read: it sees what was acknowledged before it (§8)."""
        life, past = self.life, self._world.observer.past
        cluster_id = life.node.status.cluster_id or ''
        known = past.clusters[cluster_id].acknowledged_index

        def ended(call: Call[Any]) -> None:
            status = life.node.status
            is_told = call.error is None and status.cluster_id == cluster_id
            if is_told and status.applied_index < known:
                self._world.observer.violate(
                    'read_sees_what_was_acknowledged',
                    f'{self.name} read at {status.applied_index}, after {known} was acknowledged',
                )

        return ended

    # membership and life

    def solo(self) -> Call[Optional[str]]:
        """See `Node.solo`."""
        return self._call('solo', self.node.solo())

    def attach_nodes(self, *names: str, timeout: float = 30.0) -> Call[Optional[str]]:
        """See `Node.attach_nodes`."""
        coroutine = self.node.attach_nodes(list(map(url_of, names)), timeout=timeout)
        call = self._call(f'attach {names}', coroutine)
        call.on_end(self._change_check(names, ()))
        return call

    def detach_nodes(self, *names: str, timeout: float = 30.0) -> Call[Optional[str]]:
        """See `Node.detach_nodes`."""
        coroutine = self.node.detach_nodes(list(map(url_of, names)), timeout=timeout)
        call = self._call(f'detach {names}', coroutine)
        call.on_end(self._change_check((), names))
        return call

    def _change_check(
        self, attached: tuple[str, ...], detached: tuple[str, ...]
    ) -> Callable[[Call[Any]], None]:
        """Return what checks a change: reported done, it is in this node's own log (§6)."""
        watcher = self.life.watcher
        incarnation = watcher.state.incarnation if watcher.state is not None else ''

        def ended(call: Call[Any]) -> None:
            state = watcher.state
            if call.error is not None or call.result() is not None or state is None:
                return
            voters = [
                {member.id for member in configured.configuration.voters}
                for configured in state.history
                if configured.configuration.is_stable
            ]
            is_done = any(
                group.issuperset(attached) and group.isdisjoint(detached) for group in voters
            )
            if state.incarnation == incarnation and not is_done:
                self._world.observer.violate(
                    'change_reported_done_is_in_the_log', f'{self.name}: {call.what}'
                )

        return ended

    def detach(self) -> Call[Optional[str]]:
        """Leave the cluster; detached already, be reset: see `Node.detach`."""
        return self._call('detach itself', self.node.detach())

    def take_snapshot(self) -> Call[None]:
        """See `Node.take_snapshot`."""
        return self._call('take a snapshot', self.node.take_snapshot())

    def transfer_leadership(self, name: Optional[str] = None) -> Call[Optional[str]]:
        """See `Node.transfer_leadership`."""
        url = url_of(name) if name is not None else None
        return self._call(f'transfer to {name}', self.node.transfer_leadership(url))

    def start(self) -> Call[None]:
        """Start it after `stop`, with the state machine that it had."""
        life = self.life

        def ended(call: Call[None]) -> None:
            self.is_running = call.error is None and self._life is life

        call = self._call('start', self.node.start())
        call.on_end(ended)
        return call

    def stop(self) -> Call[None]:
        """Stop it in good order; a leader hands over first."""
        self.is_running = False
        return self._call('stop', self.node.stop())

    def spawn(self, what: str, coroutine: Coroutine[Any, Any, Result]) -> Call[Result]:
        """Run a user's own code in the node's process, where it may use `node`.

        What it raises is its own business. Commands that it submits are not counted, so
        from now on nobody checks that what was refused is never applied.

        what: for messages.
        """
        self._world.observer.knows_all_submissions = False
        return self._begin_call(what, coroutine)

    # what may befall it

    def crash(self) -> None:
        """End its process at once, as kill -9 does. Crashed already, do nothing."""
        life = self._life
        if life is None:
            return
        self._world.note(f'{self.name} crashes')
        self._life, self.is_running = None, False
        life.watcher.is_watching = False
        self._world.network.disconnect(self.name)
        self.disk.unmount()

        def clear_away() -> None:
            life.watched.abandon()
            for call in [*life.calls]:
                call.lose()

        life.process.kill(clear_away)

    def restart(self, *, with_disk: bool = True) -> None:
        """Start it again after a crash, with a new state machine.

        with_disk: False where its disk was lost with it, or its storage is only memory.
        """
        self.crash()
        if not with_disk:
            self._world.observer.past.lost[self.disk.incarnation] = self.disk.contents
            self.disk = self._new_disk(self.disk.write_time)
        self._begin()

    def crash_at_write(
        self,
        number: int = 1,
        *,
        is_durable: bool = False,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Let it crash within a write to its disk, the next one being number 1.

        is_durable: the write reached the disk, although the node never learned it.
        then: called when it crashed.
        """
        life = self._life

        def crash() -> None:
            if life is not None and self._life is life:
                self.crash()
                then()

        self.disk.crash_at_write(number, crash, is_durable=is_durable)

    def fail_next_write(self, *, is_written: bool = False) -> None:
        """Let its disk fail once: it stops with an error, and is to be restarted."""
        self.disk.fail_next_write(is_written=is_written)

    def fill_disk(self) -> None:
        """Let its disk be full from now on: it stops at the next write."""
        self.disk.is_full = True

    def pause(self, seconds: Optional[float] = None) -> None:
        """Stop its process, as SIGSTOP does; its clock goes on. After so many seconds, resume."""
        life, now = self.life, self._world.timeline.now
        life.process.pause()
        until = float('inf') if seconds is None else now + seconds
        life.paused_until = max(life.paused_until, until)
        if seconds is not None:
            self._world.timeline.call_later(seconds, self._resume_in_time, life)

    def _resume_in_time(self, life: Life) -> None:
        """Go on, unless a longer pause is under way."""
        if self._world.timeline.now >= life.paused_until:
            life.process.resume()

    def resume(self) -> None:
        """Let its process go on."""
        self.life.paused_until = 0.0
        self.life.process.resume()

    def slow_down(self, lag: float) -> None:
        """Let each turn of its process take so many seconds, in later lives too; 0 for none."""
        self._lag = lag
        if self._life is not None:
            self._life.process.slow_down(lag)

    def set_clock_rate(self, rate: float) -> None:
        """Let its clock go so many times as fast as true time, in later lives too."""
        self._clock_rate = rate
        if self._life is not None:
            self._life.process.set_clock_rate(rate)

    # how it lives

    def _new_disk(self, write_time: float) -> Disk:
        world = self._world
        disk = world.make_disk(
            world.timeline,
            world.random(f'disk {self.name} {self.lives}'),
            write_time=write_time,
        )
        world.observer.watch_disk(disk)
        return disk

    def _begin(self) -> None:
        world, name = self._world, self.name
        self.lives += 1
        random = world.random(f'node {name} {self.lives}')
        watcher = Watcher(world.observer, name, self.disk)
        watcher.is_watching = world.is_watched
        process = Process(  # type: ignore[abstract]  # asyncio's are not, typeshed's methods are
            world.timeline,
            name,
            origin=random.random() * 1e5,  # no two machines count from the same instant
            random=world.random(f'threads of {name} {self.lives}'),
            on_error=lambda context: watcher.fails(_unhandled(context)),
        )
        process.slow_down(self._lag)
        process.set_clock_rate(self._clock_rate)
        watched = watch(self._make_machine(), watcher)
        is_mapping = isinstance(watched.machine, Mapping)
        node = Node.from_url(
            self.url,
            sender=NetworkSender(world.network, name, process),
            state_machine=None if is_mapping else watched,
            processors=watched.processors if is_mapping else None,
            storage=self.disk.mount(process),
            heartbeat=world.heartbeat,
            election_timeout=world.election_timeout,
            snapshot_every=world.snapshot_every,
            logger=watcher.logger,
            random=random,
            recorder=self._recorder(watcher),
        )
        self._life = Life(node, process, watched, watcher)
        world.network.connect(Endpoint(name, node, process))
        world.note(f'{name} starts, life {self.lives}')
        self.start()

    def _recorder(self, watcher: Watcher) -> Optional[Recorder]:
        world = self._world
        traced = world.trace.recorder(self.name) if world.trace is not None else None
        if not world.is_watched:
            return traced
        return _Both(traced, watcher) if traced is not None else watcher

    def _noted(
        self,
        what: str,
        coroutine: Coroutine[Any, Any, Result],
        client: str,
        request: Any,
        *,
        is_of_the_user: bool = False,
    ) -> Call[Result]:
        """Begin a call that stands in the history; a query may raise what it likes."""
        history = self._world.history
        number = history.begin(client or self.name, request)

        def ended(call: Call[Any]) -> None:
            error = call.error
            history.end(number, Returned(call.result()) if error is None else outcome_of(error))

        begin = self._begin_call if is_of_the_user else self._call
        call = begin(what, coroutine)
        call.on_end(ended)
        return call

    def _call(self, what: str, coroutine: Coroutine[Any, Any, Result]) -> Call[Result]:
        """Begin a call of the node's, which ends as documented."""
        call = self._begin_call(what, coroutine)
        if self._world.is_watched:
            call.on_end(self._world.observer.ended)
        return call

    def _begin_call(self, what: str, coroutine: Coroutine[Any, Any, Result]) -> Call[Result]:
        life = self.life
        call = Call(f'{self.name}: {what}', coroutine, life.process, self._world.timeline)
        life.calls[call] = None
        call.on_end(lambda call: life.calls.pop(call, None) and None)
        return call


class _Both:
    """Two recorders: the trace is complete when an invariant is found broken."""

    def __init__(self, first: Recorder, second: Recorder) -> None:
        self._first = first
        self._second = second

    def begin(self, beginning: Beginning, state: State) -> None:
        self._first.begin(beginning, state)
        self._second.begin(beginning, state)

    def step(self, event: Event, now: float) -> None:
        self._first.step(event, now)
        self._second.step(event, now)

    def take(self, effects: Effects, now: float) -> None:
        self._first.take(effects, now)
        self._second.take(effects, now)


def _unhandled(context: dict[str, Any]) -> str:
    """Say what nobody handled, without what differs from run to run."""
    return f'nobody handled {context.get("exception")!r}: {context.get("message")}'


def url_of(name: str) -> URL:
    """Return where the node of that name is."""
    return URL(f'simulation://{name}')


def _encoded(action: str, parameters: Any) -> str:
    try:
        return codec.encode(action, parameters)
    except InvalidParameters:  # the call will say so
        return ''
