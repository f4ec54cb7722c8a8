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
    reads,
    replication,
    sessions,
    state,
    terms,
)
from consensual.raft.core.configuration import Configuration
from consensual.raft.errors import InvariantViolated
from tests.simulation import invariants
from tests.simulation.liveness import settle
from tests.simulation.network import Noise
from tests.simulation.world import World

Patch = pytest.MonkeyPatch
THREE, FIVE = ['n1', 'n2', 'n3'], ['n1', 'n2', 'n3', 'n4', 'n5']


@contextmanager
def world_of(names: list[str], seed: int = 0, **options: float) -> Iterator[World]:
    world = World(seed)
    try:
        world.found(names, **options)
        yield world
    finally:
        world.close()


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


def nobody_stands(patch: Patch) -> None:
    def time_out(waiting: Any) -> None:
        waiting.role.election_deadline = waiting.draw_election_deadline()

    patch.setattr(prevote, 'time_out', time_out)


def a_rule_is_broken(patch: Patch) -> None:
    def observe(_state: Any, _term: int) -> None:
        raise InvariantViolated('on purpose')

    patch.setattr(terms, 'observe', observe)


# What happens then.


def two_stand_at_once(world: World) -> None:
    """The leader is gone, and both others wake up late, at the same instant."""
    world.crash('n1')
    world.loop.stall(3.0)
    world.run(0.3)


def leader_is_cut_off_with_commands(world: World) -> None:
    """The old leader takes commands that nobody hears of; the others go on."""
    world.finish(world.enqueue('n1'))
    world.network.isolate('n1', world.replicas)
    for _ in range(12):
        world.enqueue('n1')
        world.run(0.02)
    world.run(2.0)
    for name in 'n2', 'n3':
        world.finish(world.enqueue(name))
    world.finish(world.transfer('n2'))
    world.network.heal()
    world.run(0.5)
    world.finish(world.enqueue('n2'))
    settle(world)


def those_behind_stand(world: World) -> None:
    """Two of five miss commands; then two who have them crash."""
    world.network.partition([['n1', 'n2', 'n3'], ['n4', 'n5']])
    for _ in range(3):
        world.finish(world.enqueue('n1'))
    world.crash('n1')
    world.crash('n2')
    world.run(0.3)
    world.network.heal()
    world.run(3.0)


def messages_come_twice_and_late(world: World) -> None:
    world.network.noise = Noise(duplicate=0.5, delay=0.2)
    for _ in range(40):
        world.enqueue('n1')
        world.enqueue('n2')
        world.run(0.03)


def nothing_special(world: World) -> None:
    for name in [*THREE, *THREE]:
        world.finish(world.enqueue(name))


def old_leader_is_read(world: World) -> None:
    world.network.isolate('n1', world.replicas)
    world.run(2.0)
    world.finish(world.enqueue('n2'))
    world.finish(world.read('n1'))


def one_is_attached(world: World) -> None:
    world.make('n4')
    world.finish(world.attach('n1', ['n4']))


def leader_crashes(world: World) -> None:
    world.crash('n1')
    settle(world)


def figure_8(world: World) -> None:
    """An entry of an earlier term is on a majority, and is overwritten all the same."""
    world.finish(world.enqueue('n1'))
    world.network.partition([['n1', 'n2'], ['n3', 'n4', 'n5']])
    world.enqueue('n1')
    world.run(0.1)
    world.crash('n1')
    other = _await_leader(world, ['n3', 'n4', 'n5'], 2)
    world.network.isolate(other, FIVE)
    world.run(0.1)
    world.crash(other)
    world.network.heal()
    world.write_times['n1'] = world.write_times['n2'] = 0.4
    world.restart('n1', keeps_memory=True)
    leader = _await_leader(world, ['n1', 'n2'], 3)
    world.run(0.15)
    away = {'n3', 'n4', 'n5'} - {other}
    world.network.partition([away, {*FIVE} - away])
    world.write_times['n1'] = world.write_times['n2'] = 0.01
    for name in 'n1', 'n2':
        world.crash(name)
    for name in 'n1', 'n2', other:
        world.restart(name, keeps_memory=True)
    world.run(3.0)
    assert leader != world.leader_of(['n1', 'n2', other])
    world.network.heal()
    world.run(1.0)


def _await_leader(world: World, names: list[str], least_term: int) -> str:
    """Return the first of them that leads in such a term, as soon as it does."""

    def leader() -> str | None:
        name = world.leader_of(names)
        term = world.replicas[name].node.status.term if name is not None else 0
        return name if term >= least_term else None

    assert world.until(lambda: leader() is not None, 10.0, 0.0001)
    return leader() or ''


@dataclass(frozen=True)
class Case:
    """A mutant, the scenario that shows it, and the invariant that must notice."""

    mutant: Callable[[Patch], None]
    scenario: Callable[[World], None]
    invariant: str
    names: tuple[str, ...] = ('n1', 'n2', 'n3')
    write_time: float = 0.0
    seeds: int = 1


CASES = [
    Case(grants_every_vote, two_stand_at_once, invariants.ELECTION_SAFETY, seeds=10),
    Case(wins_with_any_vote, two_stand_at_once, invariants.ELECTION_SAFETY),
    Case(votes_again, two_stand_at_once, invariants.ONE_VOTE, seeds=10),
    Case(leader_cuts_its_log, leader_is_cut_off_with_commands, invariants.LEADER_APPEND_ONLY),
    Case(skips_the_consistency_check, leader_is_cut_off_with_commands, invariants.LOG_MATCHING),
    Case(
        ignores_how_complete_logs_are,
        those_behind_stand,
        invariants.LEADER_COMPLETENESS,
        tuple(FIVE),
        seeds=5,
    ),
    Case(
        commits_without_majority, leader_is_cut_off_with_commands, invariants.STATE_MACHINE_SAFETY
    ),
    Case(commits_without_majority, leader_is_cut_off_with_commands, invariants.LEADER_COMPLETENESS),
    Case(takes_everything_for_applied, nothing_special, invariants.ACKNOWLEDGED),
    Case(
        commits_earlier_terms_by_counting,
        figure_8,
        invariants.STATE_MACHINE_SAFETY,
        tuple(FIVE),
        write_time=0.01,
    ),
    Case(truncates_one_entry_too_many, nothing_special, invariants.COMMITTED_STAYS),
    Case(commit_index_goes_back, nothing_special, invariants.MONOTONE),
    Case(forgets_what_was_applied, messages_come_twice_and_late, invariants.EXACTLY_ONCE),
    Case(clock_runs_backwards, nothing_special, invariants.IN_ORDER),
    Case(reads_without_quorum, old_leader_is_read, invariants.LINEARIZABLE),
    Case(reveals_before_durable, nothing_special, invariants.DURABLE, write_time=0.05),
    Case(asks_before_durable, leader_crashes, invariants.DURABLE, write_time=0.05),
    Case(newcomers_are_forgotten, one_is_attached, invariants.CHANGE_DONE),
    Case(nobody_stands, leader_crashes, invariants.LIVENESS),
    Case(a_rule_is_broken, leader_crashes, invariants.NO_FAILURE),
]


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.mutant.__name__)
def test_mutant_is_caught(case: Case, monkeypatch: Patch) -> None:
    found: set[str] = set()
    for seed in range(case.seeds):
        with world_of(list(case.names), seed, write_time=case.write_time) as world:
            with monkeypatch.context() as patch:
                case.mutant(patch)
                case.scenario(world)
            found |= {violation.invariant for violation in world.observer.violations}
    assert case.invariant in found


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.mutant.__name__)
def test_nothing_is_found_without_the_mutant(case: Case) -> None:
    for seed in range(case.seeds):
        with world_of(list(case.names), seed, write_time=case.write_time) as world:
            case.scenario(world)
            world.check()
