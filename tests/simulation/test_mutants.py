"""The harness can fail: for each invariant, a core that is broken on purpose is caught by it.

Every scenario is also played on the core as it is, and there breaks nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from consensual.raft.core import (
    commitment,
    durability,
    election,
    log,
    membership,
    prevote,
    raft,
    reads,
    replication,
    sessions,
    state,
    terms,
)
from consensual.raft.core.configuration import Configuration
from consensual.raft.errors import InvariantViolated
from consensual.testing.liveness import settle
from consensual.testing.network import Noise
from tests.simulation.ledger import FIVE, THREE, Ledgers

Patch = pytest.MonkeyPatch


# What is broken.


def grants_every_vote(patch: Patch) -> None:
    patch.setattr(election, 'grant_vote', lambda _state, _request: True)


def votes_again(patch: Patch) -> None:
    def grant_vote(voter: Any, request: Any) -> bool:
        voter.vote_for(request.route.sender, request.route.sender_incarnation)
        return True

    patch.setattr(election, 'grant_vote', grant_vote)


def wins_with_any_vote(patch: Patch) -> None:
    def has_any(_electorate: Any, agreeing: Any) -> bool:
        return bool(agreeing)

    for room in election, prevote:
        patch.setattr(room, 'has_quorum', has_any)


def ignores_how_complete_logs_are(patch: Patch) -> None:
    patch.setattr(election, 'is_up_to_date', lambda _state, _request: True)


def leader_cuts_its_log(patch: Patch) -> None:
    original = replication.append_own

    def append_own(leader: Any, payloads: Any) -> None:
        if leader.log.last_index > leader.commit_index:
            leader.truncate(leader.commit_index + 1)
        original(leader, payloads)

    patch.setattr(replication, 'append_own', append_own)


def skips_the_consistency_check(patch: Patch) -> None:
    patch.setattr(log.Log, 'matches', lambda self, index, _term: index <= self.last_index)


def commits_without_majority(patch: Patch) -> None:
    def reached_by_anyone(electorate: Any, value_of: Any) -> int:
        return max(value_of(voter) for group in electorate for voter in group)

    patch.setattr(commitment, 'agreed_value', reached_by_anyone)


def commits_earlier_terms_by_counting(patch: Patch) -> None:
    original = commitment.agreed_value

    def advance(leading: Any, leader: Any) -> None:
        def reached(member: Any) -> int:
            if member == leading.me:
                return int(leading.durability.durable_index)
            progress = leader.peers.get(member.id)
            return progress.match_index if progress else 0

        index = original(leading.electorate, reached)
        if index > leading.commit_index:
            leading.commit(index)

    patch.setattr(commitment, 'advance_commit_index', advance)


def truncates_one_entry_too_many(patch: Patch) -> None:
    def append_missing(follower: Any, request: Any) -> None:
        if request.entries:
            follower.truncate(max(request.prev_log_index, 1))
            follower.append(request.entries)

    patch.setattr(replication, '_append_missing', append_missing)


def commit_index_goes_back(patch: Patch) -> None:
    original = state.State.commit
    patch.setattr(
        state.State, 'commit', lambda self, index: original(self, index - 2 * (index % 2))
    )


def forgets_what_was_applied(patch: Patch) -> None:
    original = sessions.Sessions.find

    def find(self: Any, command: Any) -> Any:
        session = original(self, command)
        if session is not None:
            session.outcomes.clear()
        return session

    patch.setattr(sessions.Sessions, 'find', find)


def takes_everything_for_applied(patch: Patch) -> None:
    original = sessions.Sessions.find

    def find(self: Any, command: Any) -> Any:
        session = original(self, command)
        if session is not None:
            session.outcomes[command.sequence] = SimpleNamespace(value=None, error=None)
        return session

    patch.setattr(sessions.Sessions, 'find', find)


def clock_runs_backwards(patch: Patch) -> None:
    patch.setattr(replication, 'stamp', lambda leader: 1e6 - leader.now)


def reads_without_quorum(patch: Patch) -> None:
    patch.setattr(reads, 'agreed_value', lambda *_: 10**9)
    patch.setattr(replication, 'has_quorum', lambda *_: True)


def reveals_before_durable(patch: Patch) -> None:
    patch.setattr(
        durability.Durability, 'withhold_answer', durability.Durability.__dict__['answer']
    )


def asks_before_durable(patch: Patch) -> None:
    def send_at_once(self: Any, request: Any) -> None:
        self.__class__.send_in_parallel(self, request)

    patch.setattr(durability.Durability, 'withhold_request', send_at_once)
    patch.setattr(durability.Durability, 'is_hard_state_durable', True)
    patch.setattr(durability.Durability, '_hard_state_barrier', 0)


def newcomers_are_forgotten(patch: Patch) -> None:
    def enter_joint(leading: Any, leader: Any, _: Any, request: str) -> None:
        same = Configuration(leading.configuration.voters)
        membership.adopt(leading, leader, same, request)

    patch.setattr(membership, 'enter_joint', enter_joint)


def voters_change_directly(patch: Patch) -> None:
    patch.setattr(membership, 'enter_joint', membership.adopt)


def learners_decide(patch: Patch) -> None:
    patch.setattr(
        Configuration, 'electorate', property(lambda self: (self.voters + self.learners,))
    )


def nobody_stands(patch: Patch) -> None:
    def time_out(waiting: Any) -> None:
        waiting.role.election_deadline = waiting.draw_election_deadline()

    patch.setattr(prevote, 'time_out', time_out)


def a_rule_is_broken(patch: Patch) -> None:
    def observe(_state: Any, _term: int) -> None:
        raise InvariantViolated('on purpose')

    patch.setattr(terms, 'observe', observe)


def counts_itself_before_durable(patch: Patch) -> None:
    original = durability.Durability.take_write

    def take_write(self: Any, entries: Any, *rest: Any) -> Any:
        self.durable_index = entries.last_index
        return original(self, entries, *rest)

    patch.setattr(durability.Durability, 'take_write', take_write)


def term_goes_back(patch: Patch) -> None:
    original = state.State.enter_term
    patch.setattr(
        state.State, 'enter_term', lambda self, term: original(self, term if term < 3 else 1)
    )


def applies_again(patch: Patch) -> None:
    original = raft.Raft.take_effects

    def take_effects(self: Any, now: float) -> Any:
        effects = original(self, now)
        if effects.first_committed > 1:
            effects.first_committed -= 1
            first, last = effects.first_committed, self.state.commit_index
            effects.committed = self.state.log.entries(first, last)
        return effects

    patch.setattr(raft.Raft, 'take_effects', take_effects)


def overlooks_configurations(patch: Patch) -> None:
    def append(self: Any, entries: Any) -> None:
        self.log.append(entries)
        self.durability.log_changed(self.log.last_index + 1 - len(entries))

    patch.setattr(state.State, 'append', append)


def nobody_leaves(patch: Patch) -> None:
    patch.setattr(membership, 'leave', lambda _state: None)


# What happens then.


def two_stand_at_once(simulation: Ledgers) -> None:
    """The leader is gone, and both others wake up late, at the same instant."""
    simulation['n1'].crash()
    simulation.run(0.02)  # what it sent has arrived
    simulation.pause_all(3.0)
    simulation.run(3.3)


def leader_is_cut_off_with_commands(simulation: Ledgers) -> None:
    """The old leader takes commands that nobody hears of; the others go on."""
    simulation.finish(simulation.submit('n1'))
    simulation.isolate('n1')
    for _ in range(12):
        simulation.submit('n1')
        simulation.run(0.02)
    simulation.run(2.0)
    for name in 'n2', 'n3':
        simulation.finish(simulation.submit(name))
    simulation.finish(simulation['n2'].transfer_leadership())
    simulation.heal()
    simulation.run(0.5)
    simulation.finish(simulation.submit('n2'))
    settle(simulation)


def those_behind_stand(simulation: Ledgers) -> None:
    """Two of five miss commands; then two who have them crash."""
    simulation.partition(['n1', 'n2', 'n3'], ['n4', 'n5'])
    for _ in range(3):
        simulation.finish(simulation.submit('n1'))
    simulation['n1'].crash()
    simulation['n2'].crash()
    simulation.run(0.3)
    simulation.heal()
    simulation.run(3.0)


def messages_come_twice_and_late(simulation: Ledgers) -> None:
    simulation.network.disturb(Noise(duplicate=0.5, delay=0.2))
    for _ in range(40):
        simulation.submit('n1')
        simulation.submit('n2')
        simulation.run(0.03)


def nothing_special(simulation: Ledgers) -> None:
    for name in [*THREE, *THREE]:
        simulation.finish(simulation.submit(name))


def old_leader_is_read(simulation: Ledgers) -> None:
    simulation.isolate('n1')
    simulation.run(2.0)
    simulation.finish(simulation.submit('n2'))
    simulation.finish(simulation['n1'].ensure_linearizable())


def one_is_attached(simulation: Ledgers) -> None:
    simulation.add('n4')
    simulation.finish(simulation['n1'].attach_nodes('n4'))


def one_is_detached(simulation: Ledgers) -> None:
    simulation.finish(simulation['n1'].detach_nodes('n3'))
    settle(simulation)


def leaders_change(simulation: Ledgers) -> None:
    for name in 'n2', 'n3', 'n1':
        simulation.finish(simulation['n1'].transfer_leadership(name))


def leader_crashes(simulation: Ledgers) -> None:
    simulation['n1'].crash()
    settle(simulation)


def figure_8(simulation: Ledgers) -> None:
    """An entry of an earlier term is on a majority, and is overwritten all the same."""
    simulation.finish(simulation.submit('n1'))
    simulation.partition(['n1', 'n2'], ['n3', 'n4', 'n5'])
    simulation.submit('n1')
    simulation.run(0.1)
    simulation['n1'].crash()
    other = _await_leader(simulation, ['n3', 'n4', 'n5'], 2)
    simulation.isolate(other)
    simulation.run(0.1)
    simulation[other].crash()
    simulation.heal()
    _set_write_time(simulation, 0.4)
    simulation['n1'].restart()
    leader = _await_leader(simulation, ['n1', 'n2'], 3)
    simulation.run(0.15)
    away = {'n3', 'n4', 'n5'} - {other}
    simulation.partition(away, {*FIVE} - away)
    _set_write_time(simulation, 0.01)
    for name in 'n1', 'n2', other:
        simulation[name].restart()
    simulation.run(3.0)
    assert leader != simulation.leader_of(['n1', 'n2', other])
    simulation.heal()
    simulation.run(1.0)


def _set_write_time(simulation: Ledgers, seconds: float) -> None:
    for name in 'n1', 'n2':
        simulation[name].disk.write_time = seconds


def _await_leader(simulation: Ledgers, names: list[str], least_term: int) -> str:
    """Return the first of them that leads in such a term, as soon as it does."""

    def leader() -> str | None:
        name = simulation.leader_of(names)
        return name if name is not None and simulation[name].status.term >= least_term else None

    assert simulation.until(lambda: leader() is not None, 10.0)
    return leader() or ''


@dataclass(frozen=True)
class Case:
    """A mutant, the scenario that shows it, and the invariant that must notice."""

    mutant: Callable[[Patch], None]
    scenario: Callable[[Ledgers], None]
    invariant: str
    names: tuple[str, ...] = THREE
    write_time: float = 0.0
    seeds: int = 1


CASES = [
    # elections
    Case(grants_every_vote, two_stand_at_once, 'election_safety', seeds=10),
    Case(wins_with_any_vote, two_stand_at_once, 'election_safety'),
    Case(wins_with_any_vote, two_stand_at_once, 'leader_has_a_majority_of_votes'),
    Case(votes_again, two_stand_at_once, 'one_vote_per_term', seeds=10),
    Case(ignores_how_complete_logs_are, those_behind_stand, 'leader_completeness', FIVE, seeds=5),
    Case(term_goes_back, leaders_change, 'terms_never_go_back'),
    Case(nobody_stands, leader_crashes, 'a_majority_makes_progress'),
    # the log
    Case(leader_cuts_its_log, leader_is_cut_off_with_commands, 'leader_append_only'),
    Case(skips_the_consistency_check, leader_is_cut_off_with_commands, 'log_matching'),
    Case(truncates_one_entry_too_many, nothing_special, 'committed_entries_stay'),
    # commitment
    Case(commits_without_majority, leader_is_cut_off_with_commands, 'state_machine_safety'),
    Case(commits_without_majority, leader_is_cut_off_with_commands, 'leader_completeness'),
    Case(commits_without_majority, nothing_special, 'committed_is_durable_on_a_quorum'),
    Case(
        commits_earlier_terms_by_counting, figure_8, 'state_machine_safety', FIVE, write_time=0.01
    ),
    Case(
        commits_earlier_terms_by_counting,
        figure_8,
        'committed_is_durable_on_a_quorum',
        FIVE,
        write_time=0.01,
    ),
    Case(commit_index_goes_back, nothing_special, 'commit_index_never_goes_back'),
    # durability
    Case(
        reveals_before_durable,
        nothing_special,
        'nothing_is_revealed_before_it_is_durable',
        write_time=0.05,
    ),
    Case(
        reveals_before_durable,
        nothing_special,
        'match_index_is_on_the_peers_disk',
        write_time=0.05,
    ),
    Case(
        asks_before_durable,
        leader_crashes,
        'nothing_is_revealed_before_it_is_durable',
        write_time=0.05,
    ),
    Case(
        counts_itself_before_durable, nothing_special, 'durable_index_is_on_disk', write_time=0.05
    ),
    # applying
    Case(applies_again, nothing_special, 'applied_index_never_goes_back'),
    Case(clock_runs_backwards, nothing_special, 'applied_in_order'),
    Case(skips_the_consistency_check, leader_is_cut_off_with_commands, 'applied_is_committed'),
    Case(
        skips_the_consistency_check,
        leader_is_cut_off_with_commands,
        'applied_is_the_same_everywhere',
    ),
    Case(forgets_what_was_applied, messages_come_twice_and_late, 'applied_once'),
    Case(forgets_what_was_applied, messages_come_twice_and_late, 'applied_as_often_as_submitted'),
    Case(takes_everything_for_applied, nothing_special, 'acknowledged_is_applied'),
    # reads and membership
    Case(reads_without_quorum, old_leader_is_read, 'read_sees_what_was_acknowledged'),
    Case(overlooks_configurations, one_is_attached, 'configuration_is_the_logs'),
    Case(newcomers_are_forgotten, one_is_attached, 'change_reported_done_is_in_the_log'),
    Case(voters_change_directly, one_is_attached, 'voters_change_by_joint_consensus'),
    Case(learners_decide, one_is_attached, 'electorate_is_the_configurations'),
    Case(nobody_leaves, one_is_detached, 'who_is_removed_is_told'),
    # failures
    Case(a_rule_is_broken, leader_crashes, 'no_node_fails'),
]


def name_of(case: Case) -> str:
    return f'{case.mutant.__name__}-{case.invariant}'


@pytest.mark.parametrize('case', CASES, ids=name_of)
def test_mutant_is_caught(case: Case, monkeypatch: Patch) -> None:
    found: set[str] = set()
    for seed in range(case.seeds):
        with founded(case, seed) as simulation:
            with monkeypatch.context() as patch:
                case.mutant(patch)
                case.scenario(simulation)
            found |= {broken.invariant for broken in simulation.broken}
    assert case.invariant in found


@pytest.mark.parametrize('case', CASES, ids=name_of)
def test_nothing_is_found_without_the_mutant(case: Case) -> None:
    for seed in range(case.seeds):
        with founded(case, seed) as simulation:
            case.scenario(simulation)
            simulation.check()


@contextmanager
def founded(case: Case, seed: int) -> Iterator[Ledgers]:
    simulation = Ledgers(seed, write_time=case.write_time)
    try:
        simulation.found(case.names)
        yield simulation
    finally:
        simulation.close()
