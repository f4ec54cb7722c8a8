"""Traces: what is recorded is kept to the last bit, and replayed exactly."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from consensual import __version__
from consensual.raft import errors
from consensual.raft.core import commitment
from consensual.raft.core.configuration import Address
from consensual.raft.core.effects import Effects
from consensual.raft.core.events import (
    Event,
    Failed,
    LeaveRequested,
    Persisted,
    Received,
    Replied,
    SoloRequested,
)
from consensual.raft.core.messages import REQUEST_TYPES, ReadIndex, Reply, Request, Route
from consensual.raft.core.state import Settings, State
from consensual.raft.driver.recording import Beginning, RecordedRaft
from consensual.storage import MemoryStorage
from consensual.testing.trace import (
    Begin,
    Divergence,
    InvalidTrace,
    Note,
    Step,
    Take,
    Trace,
    TraceIncomplete,
    TraceRecorder,
    load,
    replay,
)
from consensual.testing.trace_codec import decode_record, digest_of, encode_record
from tests.clusters import Cluster
from tests.cores import REPRODUCIBLE
from tests.testing.traces import (
    begin_core,
    examples_of,
    lone_leader,
    run_in_real_time,
    run_in_virtual_time,
)

BEGINNING_OF_A = Beginning(Address('a', 'memory://a'), Settings(0.1, 0.5), 1, None, 0.0)
EVENTS = get_args(Event)
HEADER = f'{{"format":"consensual-trace","version":1,"library":"{__version__}"}}'


def saved(trace: Trace, directory: Path) -> Path:
    """Save it and return the path."""
    path = directory / 'run.trace'
    trace.save(path)
    return path


# what a line keeps


@pytest.mark.parametrize('type_', EVENTS, ids=lambda type_: type_.__name__)
@REPRODUCIBLE
@given(data=st.data())
def test_every_event_survives_its_line(type_: type, data: st.DataObject) -> None:
    """What is decoded equals what was encoded, of the same type."""
    step = Step('a', 1, 0.1, data.draw(examples_of(type_)))
    decoded = decode_record(encode_record(step))
    assert decoded == step
    assert isinstance(decoded, Step)
    assert type(decoded.event) is type_


@pytest.mark.parametrize('type_', REQUEST_TYPES.values(), ids=lambda type_: type_.__name__)
@REPRODUCIBLE
@given(data=st.data())
def test_every_request_survives_with_its_type(type_: type[Request], data: st.DataObject) -> None:
    """Also of two requests that have the same fields: a request does not tell what it is."""
    request = data.draw(examples_of(type_))
    reply = data.draw(examples_of(Reply))
    for event in (Received(1, request), Replied(request, reply), Failed(request)):
        decoded = decode_record(encode_record(Step('a', 1, 0.1, event)))
        assert isinstance(decoded, Step)
        assert decoded.event == event
        assert isinstance(decoded.event, Received | Replied | Failed)
        assert type(decoded.event.request) is type_


@REPRODUCIBLE
@given(examples_of(Beginning), examples_of(Note), st.integers(1, 2**63 - 1), st.text(max_size=5))
def test_every_other_record_survives_its_line(
    beginning: Beginning, note: Note, life: int, name: str
) -> None:
    """Beginnings with what was stored, notes with any text, digests."""
    for record in (Begin(name, life, beginning), note, Take(name, life, note.now, '0123abcd')):
        assert decode_record(encode_record(record)) == record


@REPRODUCIBLE
@given(examples_of(Effects), examples_of(Effects))
def test_digest_tells_effects_apart(effects: Effects, others: Effects) -> None:
    """Equal effects have the same digest, others another one."""
    assert (digest_of(effects) == digest_of(others)) == (effects == others)


# a run is recorded and replayed


@pytest.mark.parametrize('how', ['from memory', 'from a file'])
def test_run_of_a_cluster_is_replayed_to_the_same_states(how: str, tmp_path: Path) -> None:
    """Membership changes, a crash with a restart from storage, and changes of leaders."""
    trace = Trace()
    run = run_in_virtual_time(trace)
    path = saved(trace, tmp_path)
    again = replay(run.records if how == 'from memory' else load(path).records[: len(run.records)])
    moments = list(again)
    assert [moment.record for moment in moments] == run.records
    assert again.inputs == sum(isinstance(record, Step) for record in run.records) > 100
    assert {*again.cores} == {('a', 1), ('a', 2), ('b', 1), ('c', 1), ('d', 1)}
    lives = dict(again.cores.keys())  # the latest of each
    for name, status in run.nodes.items():
        state = again.cores[name, lives[name]].state
        replayed = state.role.name, state.current_term, state.log.last_index, state.commit_index
        assert replayed == (status.role, status.term, status.last_index, status.commit_index)
        assert state.cluster_id == status.cluster_id
    assert {status.role for status in run.nodes.values()} == {'leader', 'follower', 'detached'}


def test_run_is_replayed_up_to_the_end_of_its_nodes(tmp_path: Path) -> None:
    """Also what they did while they were stopped; a file holds just what memory does."""
    trace = Trace()
    run_in_virtual_time(trace)
    loaded = load(saved(trace, tmp_path))
    assert list(loaded) == list(trace)
    assert (loaded.library, loaded.remarks) == (__version__, ())
    assert len(list(replay(loaded))) == len(trace) == len(loaded)


def test_same_seed_gives_the_same_bytes() -> None:
    """Two runs of one program, and one in a process whose strings hash otherwise."""
    first, second = Trace(), Trace()
    run_in_virtual_time(first)
    run_in_virtual_time(second)
    assert first.text() == second.text()
    program = (
        'import sys; from consensual.testing.trace import Trace; '
        'from tests.testing.traces import run_in_virtual_time; '
        'trace = Trace(); run_in_virtual_time(trace); sys.stdout.write(trace.text())'
    )
    done = subprocess.run(
        [sys.executable, '-c', program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
        env={**os.environ, 'PYTHONHASHSEED': '7', 'PYTHONIOENCODING': 'utf-8'},
    )
    assert done.stdout == first.text()


def test_beginning_is_kept_as_it_was() -> None:
    """A storage that gives its own list and goes on using it does not change the trace."""
    trace = Trace()

    class Careless(MemoryStorage):
        def load(self) -> Any:
            stored = super().load()
            if stored is not None:
                self.given = stored.entries
            return stored

        def write(self, write: Any) -> Any:
            if hasattr(self, 'given'):
                self.given.extend(write.entries)
            return super().write(write)

    async def run() -> None:
        async with Cluster('') as cluster:
            node = cluster.make('a', storage=Careless(), recorder=trace.recorder('a'))
            assert await node.solo() is None
            await node.stop()
            await node.start()
            await node.execute('add', 1)

    run_in_real_time(run())
    begins = [record for record in trace if isinstance(record, Begin)]
    assert [begin.life for begin in begins] == [1, 2]
    assert begins[1].beginning.stored is not None
    assert len(begins[1].beginning.stored.entries) == 2
    assert len(list(replay(trace))) == len(trace)


def test_what_a_core_refuses_is_part_of_the_run() -> None:
    """The error is shown and the replay goes on."""
    trace = Trace()
    core = begin_core(trace)
    with pytest.raises(errors.NotMember) as refusal:
        core.step(LeaveRequested(), 1.0)
    core.take_effects(1.0)
    moments = list(replay(trace))
    assert [type(moment.record) for moment in moments] == [Begin, Step, Take]
    assert repr(moments[1].error) == repr(refusal.value)


def test_broken_rule_is_the_last_that_is_replayed() -> None:
    """The recorded node stopped there; the replayed core raises the same."""
    trace = lone_leader()
    core = begin_core(trace, 'b')
    with pytest.raises(errors.InvariantViolated):
        core.step(Persisted(99), 3.0)
    *before, last = replay(trace)
    assert isinstance(last.error, errors.InvariantViolated)
    assert not any(moment.error for moment in before)


def test_rule_that_breaks_as_outputs_are_taken_is_found_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No recorder hears of it, but the events are there and nothing was taken after them."""

    def broken(*_: object) -> None:
        raise errors.InvariantViolated('on purpose')

    monkeypatch.setattr(commitment, 'advance_commit_index', broken)
    trace = Trace()
    core = begin_core(trace)
    core.step(SoloRequested(), 1.0)
    with pytest.raises(errors.InvariantViolated):
        core.take_effects(1.0)
    again = replay(trace)
    *_, stepped, last = again
    assert stepped.error is None
    assert str(last.error) == 'on purpose'
    assert (last.line, type(last.record)) == (stepped.line, Take)
    monkeypatch.undo()
    again = replay(trace)
    assert [moment.error for moment in again] == [None, None]
    assert again.cores['a', 1].take_effects(1.0).write is not None  # it was tried on a copy


# the replay can fail


def test_other_code_diverges(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: elections time out a little later than in the recorded run."""
    trace = Trace()
    run_in_virtual_time(trace)
    draw = State.draw_election_deadline
    monkeypatch.setattr(State, 'draw_election_deadline', lambda self: draw(self) + 1e-9)
    with pytest.raises(Divergence) as caught:
        list(replay(trace))
    divergence = caught.value
    expected = list(trace)[divergence.line - 2]
    assert isinstance(expected, Take)
    assert (divergence.node, divergence.life) == (expected.node, expected.life)
    assert divergence.expected == expected.digest != divergence.found
    assert divergence.effects is not None
    assert digest_of(divergence.effects) == divergence.found
    assert f'line {divergence.line}: ' in str(divergence)


def test_changed_digest_is_found(tmp_path: Path) -> None:
    """The line is named, with both digests."""
    path = saved(lone_leader(), tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    place = next(place for place, line in enumerate(lines) if '"take"' in line)
    take = decode_record(lines[place].encode())
    assert isinstance(take, Take)
    lines[place] = lines[place].replace(take.digest, 'ffffffff')
    path.write_text(''.join(lines))
    with pytest.raises(Divergence, match=f'^line {place + 1}: a ') as caught:
        list(replay(load(path)))
    assert (caught.value.expected, caught.value.found) == ('ffffffff', take.digest)


def test_changed_input_diverges() -> None:
    """Another instant of an event makes another deadline."""
    records = list(lone_leader())
    place = next(i for i, record in enumerate(records) if isinstance(record, Step))
    step = records[place]
    assert isinstance(step, Step)
    records[place] = Step(step.node, step.life, step.now + 0.5, step.event)
    with pytest.raises(Divergence):
        list(replay(records))


def test_core_that_cannot_begin_or_give_out_diverges(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded one could."""
    records = list(lone_leader())

    def broken(*_: object, **__: object) -> None:
        raise errors.InvariantViolated('on purpose')

    with monkeypatch.context() as patch:
        patch.setattr(commitment, 'advance_commit_index', broken)
        with pytest.raises(Divergence, match='on purpose') as caught:
            list(replay(records))
        assert (caught.value.found, caught.value.effects) == ('', None)
    monkeypatch.setattr(Beginning, 'make', broken)
    with pytest.raises(Divergence, match=r'^line 2: .*cannot begin'):
        list(replay(records))


def test_part_of_a_trace_is_refused() -> None:
    """A core that never began cannot be stepped."""
    for record in list(lone_leader())[1:3]:
        with pytest.raises(InvalidTrace, match=r'^line 2: life 1 of a never began'):
            list(replay([record]))


# a file as the node runs


async def recorded_in_files(directory: Path) -> Mapping[str, Any]:
    """Run three nodes, each with its own file; return what they were before they stopped."""
    recorders = {name: TraceRecorder(directory / f'{name}.trace') for name in 'abc'}
    async with Cluster('') as cluster:
        for name, recorder in recorders.items():
            cluster.make(name, recorder=recorder)
        assert await cluster['a'].solo() is None
        assert await cluster['a'].attach_nodes([cluster[name].url for name in 'bc']) is None
        await asyncio.gather(*(cluster['b'].execute('add', number) for number in range(50)))
        await cluster['c'].stop()
        await cluster['c'].start()
        await cluster.until_equal()
        nodes = {name: node.status for name, node in cluster.nodes.items()}
    for recorder in recorders.values():
        recorder.close()
    return nodes


def test_files_of_real_nodes_are_replayed(tmp_path: Path) -> None:
    """On a real loop, in real time; a node that was stopped and started has two lives."""
    nodes = run_in_real_time(recorded_in_files(tmp_path))
    for name, status in nodes.items():
        again = replay(load(tmp_path / f'{name}.trace'))
        assert all(moment.error is None for moment in again)
        assert {node for node, _ in again.cores} == {name}
        assert len(again.cores) == (2 if name == 'c' else 1)
        state = [*again.cores.values()][-1].state
        assert state.log.last_index >= status.last_index > 50
        assert state.log.entry_at(status.last_index).term <= status.term <= state.current_term


def test_file_can_be_replayed_while_the_node_runs(tmp_path: Path) -> None:
    """Each output that was taken is in it: a crash loses nothing that anybody was told."""
    recorder = TraceRecorder(tmp_path / 'a.trace')

    async def run() -> None:
        async with Cluster('') as cluster:
            node = cluster.make('a', recorder=recorder)
            assert await node.solo() is None
            await node.execute('add', 1)
            again = replay(load(recorder.path))
            assert len(list(again)) > 5
            [core] = again.cores.values()
            assert core.state.commit_index == node.status.commit_index

    run_in_real_time(run())
    recorder.close()


def test_existing_file_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    """A trace may be all that is left of a bug."""
    path = tmp_path / 'a.trace'
    path.write_text('precious')
    with pytest.raises(FileExistsError, match='overwrite=True') as caught:
        TraceRecorder(path)
    assert caught.value.filename == str(path)
    assert path.read_text() == 'precious'
    with TraceRecorder(path, overwrite=True):
        pass
    assert path.read_text() == HEADER + '\n'


def test_recorder_that_was_closed_records_no_more(tmp_path: Path) -> None:
    """Closing again does nothing."""
    with TraceRecorder(tmp_path / 'a.trace') as recorder:
        pass
    recorder.step(SoloRequested(), 0.0)
    recorder.take(Effects(), 0.0)
    recorder.close()
    assert recorder.path.read_text() == HEADER + '\n'


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs a disk that is always full')
def test_full_disk_does_not_disturb_the_node() -> None:
    """The error is told when the recorder is closed, and only then."""
    recorder = TraceRecorder('/dev/full', overwrite=True)

    async def run() -> None:
        async with Cluster('') as cluster:
            node = cluster.make('a', recorder=recorder)
            assert await node.solo() is None
            assert await node.execute('add', 1) == 1

    run_in_real_time(run())
    with pytest.raises(TraceIncomplete, match='/dev/full') as caught:
        recorder.close()
    assert isinstance(caught.value.__cause__, OSError)
    recorder.close()


def test_what_cannot_be_written_ends_the_recording_not_the_node(tmp_path: Path) -> None:
    """Half a surrogate pair has no UTF-8; what came before is replayed."""
    recorder = TraceRecorder(tmp_path / 'a.trace')
    core = RecordedRaft(BEGINNING_OF_A, recorder)
    core.take_effects(0.0)
    core.step(Received(1, ReadIndex(Route('', '\ud800', 'b1', 'a', 'a1'))), 0.0)
    core.take_effects(0.0)
    with pytest.raises(TraceIncomplete, match=r'ends after about 3 lines, .* surrogates'):
        recorder.close()
    loaded = load(recorder.path)
    assert [type(record) for record in loaded] == [Begin, Take]
    assert len(list(replay(loaded))) == 2


@pytest.mark.parametrize('error', [KeyError, None])
def test_context_manager_hides_no_error(error: Optional[type[Exception]], tmp_path: Path) -> None:
    """That of the block comes before that of the recording."""

    def record() -> None:
        with TraceRecorder(tmp_path / 'a.trace') as recorder:
            recorder.begin(BEGINNING_OF_A, BEGINNING_OF_A.make().state)
            recorder.step(Failed(ReadIndex(Route('\ud800', '', '', '', ''))), 0.0)
            if error is not None:
                raise error

    with pytest.raises(error or TraceIncomplete):
        record()


def test_file_is_of_one_node(tmp_path: Path) -> None:
    """The records of two could not be told apart."""
    recorder = TraceRecorder(tmp_path / 'a.trace')
    for name in 'ab':
        beginning = replace(BEGINNING_OF_A, address=Address(name, f'memory://{name}'))
        RecordedRaft(beginning, recorder).take_effects(0.0)
    with pytest.raises(TraceIncomplete, match='b began in the file of a: give it its own'):
        recorder.close()
    assert len(load(recorder.path)) == 2
