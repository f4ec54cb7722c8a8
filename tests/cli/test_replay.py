"""The replay of a trace, as somebody who types the command sees it."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consensual import __version__
from consensual.cli import main
from consensual.cli.replay import words_of_effects, words_of_event
from consensual.raft import errors
from consensual.raft.core import commitment
from consensual.raft.core.effects import Effects, HardState, Notice, Write
from consensual.raft.core.events import (
    Event,
    Failed,
    LeaveRequested,
    Persisted,
    Received,
    Replied,
    ResetRequested,
    SoloRequested,
    Woken,
)
from consensual.raft.core.messages import (
    Accepted,
    AppendEntriesReply,
    ChangeMembership,
    Inquire,
    InquireReply,
    Propose,
    ReadIndex,
    ReadIndexReply,
    Refused,
    TimeoutNow,
    TransferLeadership,
    VoteReply,
)
from consensual.testing.trace import Trace
from tests.cores import (
    address,
    append_entries,
    command,
    log_of,
    request_pre_vote,
    request_vote,
    route,
)
from tests.testing.traces import begin_core, run_in_virtual_time

TO_A, BACK = route('b', 'a'), route('a', 'b')
Output = pytest.CaptureFixture[str]


def small_trace() -> Trace:
    """Record two nodes by hand; the first makes itself a cluster. 11 lines."""
    trace = Trace()
    a, b = begin_core(trace, 'a'), begin_core(trace, 'b', seed=2)
    a.step(SoloRequested(), 1.0)
    a.take_effects(1.0)
    a.step(Persisted(1), 1.25)
    a.take_effects(1.25)
    trace.note('something else', 1.5)
    b.take_effects(2.0)
    b.step(Persisted(1), 2.0)
    b.take_effects(2.0)
    return trace


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / 'run.trace'
    small_trace().save(path)
    return path


def lines_of(output: Output) -> list[str]:
    return output.readouterr().out.splitlines()


def test_each_record_is_a_line_with_the_state_that_it_changed(path: Path, capsys: Output) -> None:
    """Line, time, node, what happened; the state only where it is another one."""
    assert main(['replay', str(path)]) == 0
    lines = lines_of(capsys)
    assert lines[:2] == [
        '     2        0.000  a  begins life 1, with nothing stored  =>  '
        'detached, term 0, vote -, last 0/0, commit 0, durable 0',
        '     3        0.000  b  begins life 1, with nothing stored  =>  '
        'detached, term 0, vote -, last 0/0, commit 0, durable 0',
    ]
    assert lines[2] == (
        '     4        1.000  a  solo requested  =>  '
        'leader, term 1, vote a, last 2/1, commit 0, durable 0, members a'
    )
    assert lines[3].startswith(
        '     5        1.000  a  write 1: term and vote, 2 entries from 1 on; tells: a is'
    )
    assert lines[4] == (
        '     6        1.250  a  write 1 is durable  =>  '
        'leader, term 1, vote a, last 2/1, commit 0, durable 2'
    )
    assert lines[6] == '     8        1.500     -- something else'
    assert lines[8] == '    10        2.000  b  write 1 is durable'
    assert lines[10:] == [
        '',
        'node  life  role      term  vote  last  commit  durable  members',
        'a     1     leader    1     a     2/1   2       2        a',
        'b     1     detached  0     -     0/0   0       0        -',
        '',
        'replayed 3 inputs of 2 nodes: every output was the same',
    ]


def test_run_of_a_cluster_is_shown_to_its_end(tmp_path: Path, capsys: Output) -> None:
    """All lives are in the table; a second one is marked in its lines."""
    trace, path = Trace(), tmp_path / 'run.trace'
    run_in_virtual_time(trace)
    trace.save(path)
    assert main(['replay', str(path)]) == 0
    lines = lines_of(capsys)
    assert len(lines) == len(trace) + 1 + 1 + 5 + 2
    lives = [line.split()[:2] for line in lines[-7:-2]]
    assert sorted(lives) == [['a', '1'], ['a', '2'], ['b', '1'], ['c', '1'], ['d', '1']]
    text = '\n'.join(lines)
    for words in (
        '  -- crash a\n',
        '  a/2  AppendEntries from ',
        'vote granted by ',
        'pre-vote granted by ',
        'deadline reached',
        'no answer from ',
        ' has all up to ',
        'members a + b c',
        'members a > a b c',
        'follower of c',
    ):
        assert words in text
    assert lines[-1].startswith('replayed ')
    assert lines[-1].endswith(' of 4 nodes: every output was the same')


def test_only_wanted_lines_are_shown(path: Path, capsys: Output) -> None:
    """Of some nodes, and notes; from a line on; nothing is replayed after the last one."""
    assert main(['replay', str(path), '--node', 'b']) == 0
    numbers = [line.split()[0] for line in lines_of(capsys) if line.startswith('  ')]
    assert numbers == ['3', '8', '9', '10', '11']
    assert main(['replay', str(path), '--from', '4', '--to', '5']) == 0
    lines = lines_of(capsys)
    assert [line.split()[0] for line in lines if line.startswith('  ')] == ['4', '5']
    assert 'a     1     leader    1     a     2/1   0       0        a' in lines
    assert lines[-1] == 'replayed 1 input of 2 nodes, up to line 5: every output was the same'
    assert main(['replay', str(path), '--node', 'a', '--node', 'b', '--from', '11']) == 0
    lines = lines_of(capsys)
    assert [line.split()[0] for line in lines if line.startswith('  ')] == ['11']


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, 'stdin', io.StringIO(text))


def test_steps_wait_for_answers(
    path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enter goes on, s shows all states, q ends; anything else is told what there is."""
    answer(monkeypatch, '\nwhat\ns\n\nq\n')
    assert main(['replay', str(path), '--step']) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith('  ')] == ['2', '3', '4']
    assert sum(line.startswith('node  life') for line in lines) == 2
    assert shown.err.count('q: end') == 2
    assert lines[-1] == 'replayed 1 input of 2 nodes, up to line 4: every output was the same'


def test_steps_end_with_the_input_or_an_interrupt(
    path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are as good as q; lines that are not shown are not waited for."""

    class Interrupted(io.StringIO):
        def readline(self, *_: object) -> str:
            raise KeyboardInterrupt

    for stdin in (io.StringIO('\n'), Interrupted()):
        monkeypatch.setattr(sys, 'stdin', stdin)
        assert main(['replay', str(path), '--step', '--node', 'b']) == 0
        assert ', up to line ' in lines_of(capsys)[-1]


def test_divergence_is_told_and_is_status_1(path: Path, capsys: Output) -> None:
    """With the line, the digests, what comes out now, and the versions of the library."""
    text = path.read_text()
    digest = text.splitlines()[4].split('"digest":"')[1][:8]
    path.write_text(text.replace(digest, '01234567').replace(__version__, '0.0.1', 1))
    assert main(['replay', str(path)]) == 1
    lines = lines_of(capsys)
    at = next(n for n, line in enumerate(lines) if line.startswith('DIVERGENCE: line 5: a '))
    assert f'digest {digest}, recorded 01234567' in lines[at]
    assert lines[at + 1] == f'recorded by consensual 0.0.1, replayed by {__version__}'
    assert lines[at + 2].startswith('what a gives out now: write 1: term and vote, 2 entries')
    assert 'a     1     leader    1     a     2/1   0       0        a' in lines
    assert 'every output was the same' not in '\n'.join(lines)


def test_broken_rule_stands_out(tmp_path: Path, capsys: Output) -> None:
    """It is part of the run that is replayed; it is said again at the end."""
    trace = small_trace()
    core = begin_core(trace, 'c')
    with pytest.raises(errors.InvariantViolated):
        core.step(Persisted(99), 3.0)
    trace.save(tmp_path / 'broken.trace')
    assert main(['replay', str(tmp_path / 'broken.trace')]) == 0
    lines = lines_of(capsys)
    broken = '  13        3.000  c  write 99 is durable  !!! InvariantViolated: write 99 was'
    assert sum(broken in line for line in lines) == 2
    assert sum(line.startswith('VIOLATION: ') for line in lines) == 1


def test_rule_that_breaks_as_outputs_are_taken_stands_out(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found at the end, where the recorded node stopped."""

    def broken(*_: object) -> None:
        raise errors.InvariantViolated('on purpose')

    monkeypatch.setattr(commitment, 'advance_commit_index', broken)
    trace = Trace()
    core = begin_core(trace)
    core.step(SoloRequested(), 1.0)
    trace.save(tmp_path / 'broken.trace')
    assert main(['replay', str(tmp_path / 'broken.trace')]) == 0
    lines = lines_of(capsys)
    words = '     3        1.000  a  gives out nothing  !!! InvariantViolated: on purpose'
    assert lines[2].startswith(words)
    assert any(line.startswith(f'VIOLATION: {words}') for line in lines)


def test_what_a_core_refuses_is_shown(tmp_path: Path, capsys: Output) -> None:
    """As a refusal, not as a violation."""
    trace = Trace()
    core = begin_core(trace)
    with pytest.raises(errors.NotMember):
        core.step(LeaveRequested(), 1.0)
    core.take_effects(1.0)
    trace.save(tmp_path / 'refused.trace')
    assert main(['replay', str(tmp_path / 'refused.trace')]) == 0
    lines = lines_of(capsys)
    assert lines[1].endswith('a  leave requested  refused, NotMember: a is in no cluster')
    assert 'VIOLATION' not in '\n'.join(lines)


def test_line_that_was_cut_off_is_told(path: Path, capsys: Output) -> None:
    """What comes before is replayed."""
    path.write_bytes(path.read_bytes()[:-20])
    assert main(['replay', str(path)]) == 0
    shown = capsys.readouterr()
    assert shown.err.count('\n') == 1
    assert f'{path}: line 11 is cut off and left out' in shown.err
    assert shown.out.endswith('replayed 3 inputs of 2 nodes: every output was the same\n')


def test_text_of_the_file_cannot_play_with_the_terminal(tmp_path: Path, capsys: Output) -> None:
    """A record is one line, whatever it holds."""
    trace = Trace()
    trace.note('one\ntwo \x1b[31m \u202e é', 0.0)
    begin_core(trace, 'a\nb')
    trace.save(tmp_path / 'odd.trace')
    assert main(['replay', str(tmp_path / 'odd.trace')]) == 0
    lines = lines_of(capsys)
    assert lines[0].endswith(r'-- one\ntwo \x1b[31m \u202e é')
    assert r'  a\nb  begins' in lines[1]


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        (None, 'there is no such file'),
        (b'', 'line 1: this is no trace'),
        (b'\x89PNG\r\n\x00', 'line 1: this is no trace'),
        (b'{"format":"consensual-trace","version":2,"library":"9.9"}\n', 'replay it with'),
        (small_trace().text().encode() + b'{"record":"take"}\n', 'line 12: this is no record'),
    ],
    ids=['missing', 'empty', 'foreign', 'version', 'broken'],
)
def test_bad_input_is_one_line_and_status_2(
    content: bytes | None, said: str, tmp_path: Path, capsys: Output
) -> None:
    """Nothing is replayed of a file that is not whole."""
    path = tmp_path / 'input'
    if content is not None:
        path.write_bytes(content)
    assert main(['replay', str(path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ''
    assert shown.err.startswith(f'replay: {path}')
    assert shown.err.count('\n') == 1
    assert said in shown.err


def test_directory_is_bad_input(tmp_path: Path, capsys: Output) -> None:
    """A directory is no trace."""
    assert main(['replay', str(tmp_path)]) == 2
    assert capsys.readouterr().err.count('\n') == 1


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--node', 'x'], "there is no node 'x', only a, b"),
        (['--from', '5', '--to', '4'], '--to 4 is before --from 5'),
    ],
    ids=['node', 'lines'],
)
def test_options_that_do_not_fit_are_status_2(
    options: list[str], said: str, path: Path, capsys: Output
) -> None:
    """The message says what would do."""
    assert main(['replay', str(path), *options]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count('\n')) == ('', 1)
    assert said in shown.err


@pytest.mark.parametrize('number', ['0', '-1', 'x', ''])
def test_line_is_a_number(number: str, path: Path, capsys: Output) -> None:
    """From 1 on."""
    with pytest.raises(SystemExit) as caught:
        main(['replay', str(path), f'--from={number}'])
    assert caught.value.code == 2
    assert f'{number!r} is no number of a line' in capsys.readouterr().err


def test_command_runs_by_itself(path: Path) -> None:
    """As `python -m consensual replay TRACE`, also where the terminal has only ASCII."""
    trace = small_trace()
    trace.note('é', 3.0)
    trace.save(path)
    done = subprocess.run(
        [sys.executable, '-m', 'consensual', 'replay', str(path), '--step'],
        input='\n' * 20,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, 'PYTHONIOENCODING': 'ascii'},
    )
    assert (done.returncode, done.stderr.count('\n')) == (0, 1)
    assert '-- \\xe9\n' in done.stdout
    assert done.stdout.endswith('replayed 3 inputs of 2 nodes: every output was the same\n')


APPEND = append_entries(term=4, prev=(5, 2), entries=log_of([1, 2])[1:], commit=3)
WORDS: list[tuple[Event, str]] = [
    (Received(1, APPEND), 'AppendEntries from b: term 4, prev 5/2, 1 entry, commit 3'),
    (Received(1, request_vote(term=4, last=(3, 2))), 'RequestVote from b: term 4, last 3/2'),
    (Received(1, request_pre_vote(term=4, last=(3, 2))), 'RequestPreVote from b: term 4, last 3/2'),
    (Received(1, TimeoutNow(TO_A, 4)), 'TimeoutNow from b: term 4'),
    (Received(1, Inquire(TO_A, 'x')), 'Inquire from b'),
    (Received(1, Propose(TO_A, [command('x'), command('y')])), 'Propose from b: 2 commands'),
    (Received(1, ReadIndex(route('a', 'a'))), 'ReadIndex from itself'),
    (
        Received(1, ChangeMembership(TO_A, 'x', [address('d'), address('e')], ['c'])),
        'ChangeMembership from b: attach d, attach e, detach c',
    ),
    (Received(1, TransferLeadership(TO_A)), 'TransferLeadership from b: to anybody'),
    (Received(1, TransferLeadership(TO_A, 'c')), 'TransferLeadership from b: to c'),
    (Replied(APPEND, AppendEntriesReply(BACK, 4, 1, True)), 'a has all up to 6: term 4'),
    (
        Replied(APPEND, AppendEntriesReply(BACK, 5, 1, False, 3, 2)),
        'a has no match: term 5, hint 3/2',
    ),
    (
        Replied(request_vote(term=4, last=(3, 2)), VoteReply(BACK, 4, True)),
        'vote granted by a: term 4',
    ),
    (
        Replied(request_pre_vote(term=4, last=(3, 2)), VoteReply(BACK, 3, False)),
        'pre-vote refused by a: term 3',
    ),
    (Replied(Inquire(TO_A, 'x'), InquireReply(BACK, True)), 'a says that it is empty'),
    (Replied(Inquire(TO_A, 'x'), InquireReply(BACK, False)), 'a says that it is not empty'),
    (Replied(ReadIndex(TO_A), ReadIndexReply(BACK, 7)), 'a may read from 7 on'),
    (Replied(TimeoutNow(TO_A, 4), Accepted(BACK)), 'a accepts TimeoutNow'),
    (Replied(APPEND, Refused('busy')), 'a refuses AppendEntries: busy'),
    (Replied(APPEND, Refused('busy', 'why')), 'a refuses AppendEntries: busy (why)'),
    (Failed(APPEND), 'no answer from a to AppendEntries'),
    (Persisted(7), 'write 7 is durable'),
    (Woken(), 'deadline reached'),
    (SoloRequested(), 'solo requested'),
    (LeaveRequested(), 'leave requested'),
    (ResetRequested(), 'reset requested'),
]


@pytest.mark.parametrize(('event', 'words'), WORDS, ids=[words for _, words in WORDS])
def test_every_input_is_said_in_words(event: Event, words: str) -> None:
    """The paper's names, with the numbers that decide."""
    assert words_of_event(event) == words


@pytest.mark.parametrize(
    ('effects', 'words'),
    [
        (Effects(), 'has nothing to do'),
        (Effects(deadline=3.0), 'has nothing to do'),
        (Effects(write=Write(3, HardState('a1'))), 'write 3: term and vote'),
        (Effects(write=Write(3, None, 5, log_of([1, 1]))), 'write 3: 2 entries from 5 on'),
        (Effects(reset=True, answers=[(1, Refused('x'))]), 'empties its state; gives 1 answer'),
        (Effects(first_committed=4, committed=log_of([1])), 'applies 4'),
        (Effects(first_committed=4, committed=log_of([1, 1])), 'applies 4 to 5'),
        (
            Effects(requests=[ReadIndex(TO_A), ReadIndex(BACK), Inquire(TO_A, 'x')]),
            'sends ReadIndex to a b; sends Inquire to a',
        ),
        (Effects(notices=[Notice(20, 'news')]), 'tells: news'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_every_output_is_said_in_words(effects: Effects, words: str) -> None:
    """In the order in which they are carried out."""
    assert words_of_effects(effects) == words
