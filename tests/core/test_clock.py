"""The cluster's clock: stamps never go backwards, and time goes on (design §2)."""

import pytest

from consensual.raft.core.events import SoloRequested
from consensual.raft.core.log import Entry, NoOp
from tests.core_clusters import Cluster
from tests.cores import Core, T, append_entries, follower_core, leader_core, stored


def stamps(core: Core) -> list[float]:
    """Return the stamps of the whole log."""
    return [entry.time for entry in core.entries]


def test_stamps_follow_the_leaders_monotonic_time():
    """Ten seconds between two commands are ten seconds between their stamps."""
    core = leader_core([1], voters='a')
    core.propose('x')
    core.clock.now += 10
    core.propose('y')
    *_, earlier, later = stamps(core)
    assert later - earlier == pytest.approx(10)


def test_stamps_never_go_back_over_leader_changes():
    """Whatever the leaders' own clocks did, the log's time only grows."""
    cluster = Cluster({'a': [1], 'b': [1], 'c': [1]})
    for id_ in 'abcabc':
        cluster.elect(id_).propose('x')
        cluster.settle()
        cluster.run(3 * T)
    assert stamps(cluster['a']) == sorted(stamps(cluster['a']))


def test_new_leader_never_stamps_before_its_last_entry():
    """A follower whose own reckoning is behind starts from the log's last stamp."""
    core = follower_core([1])
    entry = Entry(1, 5000.0, NoOp())
    core.ask(append_entries(term=1, prev=(1, 1), entries=[entry], commit=1))
    core.win('b')
    assert stamps(core)[-1] >= 5000.0


def test_follower_takes_the_time_from_what_is_committed():
    """Who is elected goes on from the last committed stamp and its own time since then."""
    core = follower_core([1])
    entry = Entry(1, 5000.0, NoOp())
    core.ask(append_entries(term=1, prev=(1, 1), entries=[entry], commit=2))
    learned_at = core.clock.now
    core.clock.now += 7
    core.win('b')
    assert stamps(core)[-1] == pytest.approx(5000.0 + core.clock.now - learned_at)


def test_time_goes_on_after_a_restart():
    """A restarted leader's clock is not stopped until it has run as long as before."""
    disk = stored('a', [1], voters='a')
    core = Core('a', type(disk)(disk.hard_state, [*disk.entries, Entry(1, 5000.0, NoOp())]))
    core.win()
    core.propose('x')
    core.clock.now += 10
    core.propose('y')
    *_, earlier, later = stamps(core)
    assert earlier >= 5000.0
    assert later - earlier == pytest.approx(10)


def test_clock_of_a_new_cluster_begins_at_zero():
    """It is no wall clock: it tells how long the cluster has lived."""
    core = Core('a')
    core.step(SoloRequested())
    assert stamps(core) == [0.0, 0.0]


def test_event_with_an_earlier_instant_does_not_bring_a_deadline_nearer():
    """Time that goes back must not call elections."""
    core = follower_core([1])
    latest = core.clock.now
    core.clock.now -= 50
    core.ask(append_entries(term=1, prev=(1, 1)))
    assert core.deadline >= latest + T


def test_event_with_an_earlier_instant_does_not_turn_the_clock_back():
    """The core's time is the latest that it was told."""
    core = leader_core([1], voters='a')
    core.propose('x')
    core.clock.now -= 50
    core.propose('y')
    assert stamps(core) == sorted(stamps(core))
