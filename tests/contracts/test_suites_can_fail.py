"""The conformance suites catch what they are for: each mutant breaks one rule, and is caught.

The test that stands beside a mutant must fail on it; every test has a mutant.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from yarl import URL

from consensual.raft import Storage
from consensual.raft.driver.ports import Endpoint
from consensual.testing.conformance import StorageConformance, TransportConformance
from tests.api.marks import in_virtual_time
from tests.contracts import broken_storages as storages
from tests.contracts import broken_transports as transports

pytestmark = in_virtual_time


class StorageSuite(StorageConformance):
    """The suite on a storage of that make."""

    sequences = 50

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        self.storages: dict[str, Any] = {}

    def open(self, name: str) -> Storage:
        storage: Storage = self.storages.setdefault(name, self.make())
        return storage

    def crash(self, storage: Any, name: str) -> None:
        self.storages[name] = storage.survivor()


class TransportSuite(TransportConformance):
    """The suite on a transport of which one half is of that make."""

    def __init__(self, half: Any) -> None:
        is_sender = issubclass(half, transports.Sound)
        self.sender = half if is_sender else transports.Sound
        self.receiver = transports.Receiver if is_sender else half
        self.nodes: dict[str, Any] = {}

    def url(self, name: str) -> URL:
        return URL(f'memory://{name}')

    def make_sender(self, url: URL) -> Any:
        return self.sender([url], self.nodes)

    def make_receiver(self, endpoint: Endpoint) -> Any:
        return self.receiver(endpoint, self.nodes)


def rules_of(suite: type) -> list[str]:
    return [name.removeprefix('test_') for name in dir(suite) if name.startswith('test_')]


BROKEN_STORAGES: list[tuple[Any, str]] = [
    (storages.TakesNewForEmpty, 'new_storage_holds_nothing'),
    (storages.ForgetsTheVote, 'hard_state_is_loaded_as_it_was_written'),
    (storages.RoundsTheTerm, 'hard_state_is_loaded_as_it_was_written'),
    (storages.NeverEmptiesTheVote, 'later_hard_state_replaces_the_earlier_one'),
    (storages.ErasesTheHardState, 'write_without_hard_state_keeps_the_earlier_one'),
    (storages.KeepsTheIncarnation, 'reset_leaves_nothing_of_the_earlier_life'),
    (storages.ForgetsWhoseTheDataAre, 'hard_state_is_loaded_as_it_was_written'),
    (storages.KeepsTheFirstOwner, 'later_hard_state_replaces_the_earlier_one'),
    (storages.LosesUnicode, 'entries_of_every_kind_are_loaded_as_they_were_written'),
    (storages.RoundsStamps, 'entries_of_every_kind_are_loaded_as_they_were_written'),
    (storages.ForgetsWhoLeaves, 'entries_of_every_kind_are_loaded_as_they_were_written'),
    (storages.CutsLongTexts, 'largest_command_is_loaded_as_it_was_written'),
    (storages.ClearsTheLog, 'write_without_first_index_keeps_the_log'),
    (storages.IgnoresTruncation, 'log_is_cut_off_from_first_index_on'),
    (storages.IgnoresTruncationAlone, 'log_is_cut_off_without_being_continued'),
    (storages.CountsFromZero, 'log_is_cut_off_from_first_index_on'),
    (storages.OnlyOverwrites, 'log_is_cut_off_from_first_index_on'),
    (storages.CutsOneTooMany, 'log_is_continued_after_its_last_entry'),
    (storages.CutsAtMostSeven, 'random_writes_and_reopenings_leave_what_a_model_says'),
    (storages.WritesAtMost999, 'many_entries_are_kept_in_one_write'),
    (storages.KeepsTheLast256, 'many_writes_are_kept_in_their_order'),
    (storages.TakesSnapshotsForText, 'snapshot_is_loaded_as_it_was_written'),
    (storages.ReplacesByLongerSnapshotsOnly, 'later_snapshot_replaces_the_earlier_one'),
    (storages.CompactsUnasked, 'snapshot_changes_nothing_else'),
    (storages.IgnoresLogStart, 'log_start_drops_the_entries_before_it'),
    (storages.BeginsAnewWhenEmpty, 'log_goes_on_after_its_beginning_was_dropped'),
    (storages.CountsFromTheFirstThatIsLeft, 'log_is_cut_off_after_its_beginning_was_dropped'),
    (storages.DropsNoMoreThanThereIs, 'log_is_replaced_by_a_snapshot_in_one_write'),
    (storages.CompactsUpToTheSnapshot, 'compaction_keeps_the_entries_behind_it'),
    (storages.KeepsTheSnapshotInAReset, 'reset_leaves_no_snapshot'),
    (
        storages.CompactsBeforeTheSnapshotIsThere,
        'crash_amid_compaction_leaves_all_of_it_or_nothing',
    ),
    (storages.SaysTrue, 'write_returns_none_or_an_awaitable'),
    (storages.WritesBehind, 'completed_write_survives_a_crash'),
    (storages.WritesBehind, 'node_finds_after_a_crash_what_it_acknowledged'),
    (storages.DropsTheLastWriteAtClose, 'completed_write_survives_close'),
    (storages.DropsTheLastWriteAtClose, 'node_finds_its_commands_again'),
    (storages.LeavesHalfAWrite, 'crash_amid_a_write_leaves_all_of_it_or_nothing'),
    (storages.LeavesHalfAWrite, 'random_writes_and_crashes_leave_what_a_model_says'),
    (storages.LeavesACutOnly, 'crash_amid_a_write_leaves_all_of_it_or_nothing'),
    (storages.NeverLocks, 'storage_in_use_is_refused_to_another_node'),
    (storages.UnlocksWhenAsked, 'storage_in_use_is_refused_to_another_node'),
    (storages.NeverUnlocks, 'closed_storage_can_be_loaded_again'),
    (storages.StaysLockedAfterACrash, 'completed_write_survives_a_crash'),
    (cache(storages.Sound), 'data_of_another_name_are_apart'),
    (storages.SharesItsList, 'what_was_loaded_does_not_change_by_later_writes'),
    (storages.KeepsTheWritersList, 'what_was_written_does_not_change_by_the_writers_hand'),
    (storages.LosesTheTailInACrash, 'node_finds_after_a_crash_what_it_acknowledged'),
]


BROKEN_TRANSPORTS: list[tuple[Any, str]] = [
    (transports.RoundsFloats, 'message_arrives_as_it_was_sent'),
    (transports.DropsWhatIsNone, 'message_arrives_as_it_was_sent'),
    (transports.TakesIntsForFloats, 'reply_comes_back_as_it_was_given'),
    (transports.RepliesWithTheMessage, 'reply_comes_back_as_it_was_given'),
    (transports.SendsTheNumberOfTheKind, 'kind_arrives_as_a_message_kind'),
    (transports.SwapsKinds, 'kind_arrives_as_a_message_kind'),
    (transports.TakesOneMegabyte, 'large_messages_are_carried'),
    (transports.MixesReplies, 'each_of_many_concurrent_sends_gets_its_own_reply'),
    (transports.IgnoresUrls, 'url_that_is_not_among_urls_is_refused'),
    (transports.NeverForgetsUrls, 'urls_hold_as_soon_as_they_are_assigned'),
    (transports.RaisesWhateverItGets, 'nobody_is_there'),
    (transports.WaitsForWhoNeverComes, 'nobody_is_there'),
    (transports.ListensBeforeStart, 'nobody_is_there'),
    (transports.IsAlwaysRunning, 'receiver_is_running_between_start_and_stop'),
    (transports.KeepsListening, 'stopped_receiver_takes_no_messages'),
    (transports.RunsOnFirstUseOnly, 'stopped_receiver_can_be_started_again'),
    (transports.CannotStopTwice, 'stop_of_what_is_stopped_does_nothing'),
    (transports.StartsTwice, 'start_of_what_is_running_raises_runtime_error'),
    (transports.StopsWhenStartedTwice, 'start_of_what_is_running_raises_runtime_error'),
    (transports.TakesOverTheAddress, 'address_that_is_taken_raises_os_error'),
    (transports.StopsAnother, 'address_that_is_taken_raises_os_error'),
    (transports.SwallowsThatANodeIsStopped, 'stopped_node_is_unavailable'),
    (transports.RaisesWhateverItGets, 'stopped_node_is_unavailable'),
    (transports.RepliesWithTheError, 'errors_of_consensual_end_one_send'),
    (transports.HangsAfterAnError, 'errors_of_consensual_end_one_send'),
    (transports.RepliesWithStatus500, 'other_errors_end_one_send'),
    (transports.HangsAfterAnError, 'other_errors_end_one_send'),
    (transports.HangsAfterAnError, 'cancelled_send_ends_and_harms_nobody'),
    (transports.IgnoresCancellation, 'cancelled_send_ends_and_harms_nobody'),
    (transports.SendsOneAtATime, 'silent_node_delays_no_other'),
    (transports.LosesProposals, 'nodes_form_a_cluster_and_agree'),
    (transports.LosesVotes, 'nodes_elect_another_leader_when_theirs_stops'),
]


@pytest.mark.parametrize(('mutant', 'rule'), BROKEN_STORAGES)
async def test_broken_storage_is_caught(mutant: Any, rule: str) -> None:
    with pytest.raises(AssertionError, match=r'\w'):
        await getattr(StorageSuite(mutant), f'test_{rule}')()


@pytest.mark.parametrize(('mutant', 'rule'), BROKEN_TRANSPORTS)
async def test_broken_transport_is_caught(mutant: Any, rule: str) -> None:
    with pytest.raises(AssertionError, match=r'\w'):
        await getattr(TransportSuite(mutant), f'test_{rule}')()


@pytest.mark.parametrize('rule', rules_of(StorageConformance))
async def test_sound_storage_is_not_accused(rule: str) -> None:
    await getattr(StorageSuite(storages.Sound), f'test_{rule}')()


@pytest.mark.parametrize('rule', rules_of(TransportConformance))
async def test_sound_transport_is_not_accused(rule: str) -> None:
    await getattr(TransportSuite(transports.Sound), f'test_{rule}')()


async def test_every_rule_has_a_mutant() -> None:
    assert {rule for _, rule in BROKEN_STORAGES} == {*rules_of(StorageConformance)}
    assert {rule for _, rule in BROKEN_TRANSPORTS} == {*rules_of(TransportConformance)}
