"""What clients in other processes have a node do, in sessions of their own (thesis §6.3).

A client's session outlives the node that it talks to: it hands an unfinished command in again
anywhere, under the same numbers, and is answered from the session table if it was applied.
"""

from asyncio import Future
from collections.abc import Callable, Mapping
from typing import Any, Optional

from consensual.raft.core.log import Command
from consensual.raft.driver import parameters as codec
from consensual.raft.driver.actions import check_action
from consensual.raft.driver.applier import Applier
from consensual.raft.driver.arguments import checked
from consensual.raft.driver.between import call_between_commands
from consensual.raft.driver.clerk import Call
from consensual.raft.driver.life import Life, Run
from consensual.raft.driver.ports import Processor
from consensual.raft.errors import InvalidParameters, NodeStopped

LARGEST = 2**63 - 1
"""Numbers that a session, or a command in it, may have."""


class Ticket:
    """A call under way: `future` gets what becomes of it."""

    __slots__ = '_call', '_run', 'future'

    def __init__(self, run: Run, call: Call) -> None:
        self._run, self._call = run, call
        self.future: Future[Any] = call.future

    def drop(self) -> bool:
        """Nobody waits any more; tell whether it was handed to a leader, and may be applied yet."""
        if not self.future.done():
            self._run.clerk.drop(self._call)
            self.future.cancel()
        return self._call.is_proposed


class Gateway:
    """The calls of a node that take numbers which their callers choose.

    They are for whoever serves clients, and awaited by nobody here: futures tell their ends.
    """

    def __init__(
        self, node_id: str, life: Life, applier: Applier, processors: Mapping[str, Processor]
    ) -> None:
        self._node_id = node_id
        self._life = life
        self._applier = applier
        self._processors = processors

    def __repr__(self) -> str:
        return f'Gateway({self._node_id})'

    @property
    def leader(self) -> Optional[str]:
        """The URL of whom this node takes for the leader, None when it knows none."""
        run = self._life.run
        leader = run.engine.find_leader() if run is not None else None
        return leader.url if leader is not None else None

    @property
    def cluster_id(self) -> str:
        """The cluster that this node is in, the only one to which its sessions mean anything."""
        run = self._life.run
        state = run.engine.state if run is not None else None
        return state.cluster_id if state is not None and state.is_attached else ''

    def open_session(self, timeout: float) -> Ticket:
        """Have a session opened; the future gets its id.

        timeout: seconds to try.

        Raises `NodeStopped`; the future, what `Node.execute` raises.
        """
        run = self._running()
        return Ticket(run, run.clerk.open_session(checked(timeout)))

    def execute(
        self,
        action: str,
        text: str,
        *,
        session: int,
        sequence: int,
        lowest: int,
        timeout: float,
    ) -> Ticket:
        """Have a command applied, once, however often it is handed in; the future gets its result.

        text: the parameters, as JSON.
        session: the id that `open_session` gave, here or on another member.
        sequence: the number of the command in its session; each is used for one command.
        lowest: the lowest sequence of which the client has not learned the outcome; what is
            below is never applied any more, and forgotten.
        timeout: seconds to try, across changes of leaders.

        Raises `UnknownAction`, `InvalidParameters`, `NodeStopped`; the future, what
        `Node.execute` raises, and `SessionLost` when nothing was done as nobody knows the session.
        """
        run = self._running()
        check_action(action, self._processors, self._node_id)
        codec.check(action, text)
        if not 0 <= lowest <= sequence <= LARGEST or not 0 <= session <= LARGEST:
            raise InvalidParameters(
                f'the numbers of {action!r} are out of bounds: session {session}, '
                f'sequence {sequence}, lowest {lowest}'
            )
        command = Command(session, sequence, lowest, action, text)
        return Ticket(run, run.clerk.relay(command, checked(timeout)))

    async def between_commands(self, call: Callable[[], Any]) -> Any:
        """Return what the call returns when no command is half applied, nor a snapshot.

        After `Node.ensure_linearizable` it sees every command that was completed before that.
        Raises what the call raises, and why the node stopped.
        """
        return await call_between_commands(self._applier, call)

    def _running(self) -> Run:
        run = self._life.run
        if run is None:
            failure = self._life.failure
            raise (
                failure.with_traceback(None)
                if failure is not None
                else NodeStopped(f'{self._node_id} is not running: start() it first')
            )
        return run
