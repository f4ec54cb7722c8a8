"""Watches the nodes from outside, and notes every invariant that does not hold.

It sees what is public: statuses, writes to the storage, messages, applied
commands, outcomes of calls. It changes nothing.
"""

import logging
from collections import defaultdict
from typing import Any, Optional

from consensual.raft import Context, MessageKind
from consensual.raft.core.effects import HardState
from consensual.raft.core.log import Entry
from tests.simulation import invariants
from tests.simulation.clock import VirtualLoop
from tests.simulation.invariants import Cluster, Violation
from tests.simulation.replica import Replica


class Observer(logging.Handler):
    """Takes notes of all nodes of a world, and of what they log as errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.violations: list[Violation] = []
        self.clusters: defaultdict[str, Cluster] = defaultdict(Cluster)
        self.replicas: dict[str, Replica] = {}
        self.undone: set[int] = set()
        self.applied: set[int] = set()
        self.loop: Optional[VirtualLoop] = None

    def violate(self, invariant: str, text: Optional[str]) -> None:
        """Note the violation that the text describes; None is none."""
        if text is not None and len(self.violations) < 50:
            at = self.loop.time() if self.loop is not None else 0.0
            self.violations.append(Violation(invariant, text, at))

    def emit(self, record: logging.LogRecord) -> None:
        """A node logged an error: it failed, or met what it should cope with."""
        self.violate(invariants.NO_FAILURE, record.getMessage())

    def take_loop_error(self, _: object, context: dict[str, Any]) -> None:
        """Nobody handled an exception."""
        self.violate(
            invariants.NO_FAILURE, f'{context.get("message")}: {context.get("exception")!r}'
        )

    # statuses

    def watch_all(self) -> None:
        """Look at every running node: called before each step of the loop."""
        for replica in self.replicas.values():
            if replica.is_running:
                self.watch(replica)

    def watch(self, replica: Replica) -> None:
        status = replica.node.status
        seen = replica.seen
        if status.cluster_id is None and not status.last_index:
            seen.forget()
        values = status.term, status.commit_index, status.applied_index
        before = seen.term, seen.commit_index, seen.applied_index
        if values == before and status.role == seen.role:
            if seen.noted_commit != status.commit_index:
                self._note_commits(replica, status)
            return
        if any(value < known for value, known in zip(values, before, strict=True)):
            self.violate(invariants.MONOTONE, f'{replica} goes from {before} to {values}')
        if status.cluster_id is not None and status.applied_index > status.last_index:
            self.violate(invariants.IN_LOG, f'{replica} applied beyond its log: {status}')
        seen.term, seen.commit_index, seen.applied_index = values
        seen.role = status.role
        if status.cluster_id is not None and status.role == 'leader':
            cluster = self.clusters[status.cluster_id]
            self.violate(invariants.ELECTION_SAFETY, cluster.lead(status.term, replica))
        self._note_commits(replica, status)

    def _note_commits(self, replica: Replica, status: Any) -> None:
        """Note what the node takes for committed, where its log is known as it stands."""
        hard_state, log = replica.storage.hard_state, replica.storage.entries
        is_known = (
            replica.storage.is_settled
            and hard_state.current_term == status.term
            and hard_state.cluster_id == (status.cluster_id or '')
            and len(log) == status.last_index
        )
        if is_known and status.cluster_id is not None:
            self._commit(replica, status, log)

    def _commit(self, replica: Replica, status: Any, log: list[Entry]) -> None:
        seen, cluster_id = replica.seen, status.cluster_id
        cluster = self.clusters[cluster_id]
        if seen.cluster_id != cluster_id:
            seen.cluster_id, seen.noted_commit = cluster_id, 0
        for index in range(seen.noted_commit + 1, status.commit_index + 1):
            safety, completeness = cluster.commit(index, log[index - 1], status.term)
            if safety:
                self.violate(invariants.STATE_MACHINE_SAFETY, f'{replica}: {safety}')
            self.violate(invariants.LEADER_COMPLETENESS, completeness)
            self.violate(invariants.STATE_MACHINE_SAFETY, cluster.check_applied(index))
        seen.noted_commit = status.commit_index

    # writes

    def see_write(
        self, replica: Replica, before: HardState, first: int, replaced: list[Entry]
    ) -> None:
        """A node hands its storage everything that changed."""
        if not replica.is_up:
            return
        hard_state, log = replica.storage.hard_state, replica.storage.entries
        same_life = before.incarnation == hard_state.incarnation
        if same_life:
            self._check_hard_state(replica, before, hard_state)
            self._check_committed(replica, first, replaced, log)
        if hard_state.cluster_id:
            cluster = self.clusters[hard_state.cluster_id]
            if before.cluster_id != hard_state.cluster_id or not same_life:
                first = 1
            self.violate(invariants.LOG_MATCHING, cluster.note_entries(log, first))
        if replica.is_running:
            self._see_leader_write(replica, log)
            self.watch(replica)

    def _check_hard_state(self, replica: Replica, before: HardState, now: HardState) -> None:
        if now.current_term < before.current_term:
            self.violate(
                invariants.MONOTONE,
                f'{replica} writes term {now.current_term} after {before.current_term}',
            )
        if now.voted_for:
            vote = now.voted_for, now.voted_incarnation
            votes = replica.storage.votes
            known = votes.setdefault((now.incarnation, now.current_term), vote)
            if known != vote:
                self.violate(
                    invariants.ONE_VOTE,
                    f'{replica} votes for {vote} in term {now.current_term}, after {known}',
                )

    def _check_committed(
        self, replica: Replica, first: int, replaced: list[Entry], log: list[Entry]
    ) -> None:
        committed = min(replica.seen.noted_commit, len(replaced))
        if replaced[first - 1 : committed] != log[first - 1 : committed]:
            self.violate(
                invariants.COMMITTED_STAYS,
                f'{replica} drops entries from {first} on, committed up to {committed}',
            )

    def _see_leader_write(self, replica: Replica, log: list[Entry]) -> None:
        status = replica.node.status
        if status.role != 'leader' or status.cluster_id is None:
            replica.leadership = None
            return
        leadership = status.cluster_id, status.term
        if replica.leadership is not None and replica.leadership[0] == leadership:
            before = replica.leadership[1]
            if log[: len(before)] != before:
                self.violate(
                    invariants.LEADER_APPEND_ONLY,
                    f'{replica} has {log[-3:]} in term {status.term}, after {before[-3:]}',
                )
        replica.leadership = leadership, log
        cluster = self.clusters[status.cluster_id]
        self.violate(invariants.ELECTION_SAFETY, cluster.lead(status.term, replica))
        self.violate(invariants.LEADER_COMPLETENESS, cluster.begin_to_lead(status.term, log))

    # applied commands

    def see_applied(
        self, replica: Replica, cluster_id: str, context: Context, command: int
    ) -> None:
        """A node applies a command."""
        if not replica.is_up:
            return
        ledger, cluster = replica.ledger, self.clusters[cluster_id]
        if command in ledger.commands:
            self.violate(
                invariants.EXACTLY_ONCE, f'{replica} applies {command} again, at {context.index}'
            )
        if context.index <= ledger.last[0] or context.time < ledger.last[1]:
            self.violate(
                invariants.IN_ORDER,
                f'{replica} applies {command} at {context} after {ledger.last}',
            )
        what = context.term, context.time, command
        self.violate(invariants.STATE_MACHINE_SAFETY, cluster.apply(context.index, what))
        self.violate(invariants.STATE_MACHINE_SAFETY, cluster.check_applied(context.index))
        if command in self.undone:
            self.violate(invariants.REFUSED, f'{command} was refused, and {replica} applies it')
        self.applied.add(command)

    # outcomes

    def see_acknowledged(self, replica: Replica, command: int) -> None:
        """A caller was told that the command is applied on this node."""
        cluster_id = replica.ledger.ever.get(command)
        if cluster_id is None:
            self.violate(
                invariants.ACKNOWLEDGED, f'{command} is acknowledged by {replica}, but not applied'
            )
        else:
            self.clusters[cluster_id].acknowledged.add(command)

    def see_refused(self, replica: Replica, command: int, error: Exception) -> None:
        """A caller was told that nothing was done."""
        self.undone.add(command)
        if command in self.applied:
            self.violate(
                invariants.REFUSED,
                f'{command} was applied, and {replica} says {type(error).__name__}: {error}',
            )

    # messages

    def sees_request(self, source: str, kind: MessageKind, message: Any) -> None:
        """Whoever asks reveals its term, and a candidate its vote (Figure 2)."""
        storage = self.replicas[source].storage
        route = message['route']
        incarnation, term = route[2], message.get('term', 0)
        if kind is MessageKind.REQUEST_PRE_VOTE:
            term -= 1
        if not storage.holds_term(incarnation, term):
            self.violate(invariants.DURABLE, f'{source} reveals term {term} by {kind.name}')
        is_vote = kind is MessageKind.REQUEST_VOTE
        if is_vote and not storage.holds_vote(incarnation, term, (source, incarnation)):
            self.violate(invariants.DURABLE, f'{source} asks for votes of term {term}')

    def sees_reply(self, target: str, kind: MessageKind, request: Any, reply: Any) -> None:
        """A vote and an acknowledgement are promises (Figure 2)."""
        storage, route = self.replicas[target].storage, request['route']
        incarnation, term = route[4], request.get('term', 0)
        if not storage.holds_term(incarnation, reply.get('term', 0)):
            self.violate(invariants.DURABLE, f'{target} reveals term {reply["term"]} by a reply')
        if kind is MessageKind.REQUEST_VOTE and reply.get('granted'):
            if not storage.holds_vote(incarnation, term, (route[1], route[2])):
                self.violate(invariants.DURABLE, f'{target} grants its vote of term {term}')
        elif kind is MessageKind.APPEND_ENTRIES and reply.get('success'):
            for index, entry in enumerate(request['entries'], request['prev_log_index'] + 1):
                if not storage.holds_entry(incarnation, index, entry[0]):
                    self.violate(invariants.DURABLE, f'{target} acknowledges entry {index}')

    def sees_failure(self, target: str, error: BaseException) -> None:
        """Receiving raised what no message should make it raise."""
        self.violate(invariants.NO_FAILURE, f'{target} failed to answer: {error!r}')
