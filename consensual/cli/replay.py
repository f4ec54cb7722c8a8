"""`replay`: go through a recorded trace again, record by record, with each node's state.

Words and columns only; the replaying itself is `consensual.testing.trace_replay`.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

from consensual import __version__
from consensual.raft.core.configuration import Configuration, Member
from consensual.raft.core.effects import Effects
from consensual.raft.core.events import (
    ConnectionLost,
    Event,
    Failed,
    Persisted,
    Received,
    Replied,
    SnapshotTaken,
    Woken,
)
from consensual.raft.core.messages import (
    Accepted,
    AppendEntries,
    AppendEntriesReply,
    ChangeMembership,
    Inquire,
    InquireReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Propose,
    ReadIndex,
    ReadIndexReply,
    Refused,
    Reply,
    Request,
    RequestPreVote,
    RequestVote,
    TimeoutNow,
    TransferLeadership,
    VoteReply,
)
from consensual.raft.core.state import State
from consensual.raft.errors import ConsensualError, InvariantViolated
from consensual.testing.trace import (
    Begin,
    Divergence,
    InvalidTrace,
    LoadedTrace,
    Moment,
    Note,
    Record,
    Replay,
    Step,
    load,
    replay,
)

COLUMNS = 'node', 'life', 'role', 'term', 'vote', 'last', 'commit', 'durable', 'members'
HINT = 'Enter: the next record; s: the states of all nodes; q: end'


class BadInputError(Exception):
    """There is nothing to replay; the text says why."""


def add_to(commands: Any) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        'replay',
        help='replay a recorded trace, step by step, with the state of each node',
        description='Feed the recorded inputs of nodes into new ones and check that they do the '
        'same. Positions in the log are written index/term. Exits with 1 when an output differs, '
        'with 2 when the file cannot be replayed.',
    )
    parser.add_argument('trace', metavar='TRACE', help='a file of Trace.save or TraceRecorder')
    parser.add_argument(
        '--node',
        action='append',
        metavar='NAME',
        help='show only this node, and notes; can be given several times',
    )
    parser.add_argument(
        '--from',
        dest='first',
        type=_line_number,
        default=1,
        metavar='LINE',
        help='replay the lines before this one, too, but do not show them',
    )
    parser.add_argument(
        '--to', dest='last', type=_line_number, metavar='LINE', help='end after this line'
    )
    parser.add_argument('--step', action='store_true', help=f'wait after each line ({HINT})')
    parser.set_defaults(run=run)


def _line_number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no number of a line')
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    try:
        trace = read(options.trace)
        check(trace, options)
    except BadInputError as error:
        print(f'replay: {_plain(str(error))}', file=sys.stderr)
        return 2
    for remark in trace.remarks:
        print(f'replay: {_plain(f"{trace.path}: {remark}")}', file=sys.stderr)
    return Show(trace, options).run()


def read(path: str) -> LoadedTrace:
    """Return the trace in a file. Raises `BadInputError`."""
    try:
        return load(path)
    except InvalidTrace as error:
        raise BadInputError(str(error)) from error
    except FileNotFoundError:
        raise BadInputError(f'{path}: there is no such file') from None
    except OSError as error:
        raise BadInputError(f'{path}: {error.strerror}') from error


def check(trace: LoadedTrace, options: argparse.Namespace) -> None:
    """Refuse options that do not fit the trace. Raises `BadInputError`."""
    names = sorted({record.node for record in trace if isinstance(record, Begin)})
    for name in options.node or ():
        if name not in names:
            raise BadInputError(
                f'{trace.path}: there is no node {name!r}, only {", ".join(names) or "notes"}'
            )
    if options.last is not None and options.last < options.first:
        raise BadInputError(f'--to {options.last} is before --from {options.first}')


def ask() -> str:
    """Return what is entered; 'q' at the end of the input, or when interrupted."""
    sys.stdout.flush()
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        return 'q'
    return answer.strip() if answer else 'q'


class Show:
    """One replay, shown line by line."""

    def __init__(self, trace: LoadedTrace, options: argparse.Namespace) -> None:
        self.trace = trace
        self.options = options
        self.replay: Replay = replay(trace)
        self.shown: dict[tuple[str, int], Summary] = {}
        self.violations: list[str] = []
        self.width = max((len(_name_in(record)) for record in trace), default=0)

    def run(self) -> int:
        """Replay and show; return the exit status."""
        until = ''
        if self.options.step:
            print(HINT, file=sys.stderr)
        try:
            for moment in self.replay:
                self.take(moment)
                if self.is_over(moment):
                    until = f', up to line {moment.line}'
                    break
        except Divergence as error:
            self.conclude()
            print(f'\nDIVERGENCE: {_plain(str(error))}')
            print(f'recorded by consensual {self.trace.library}, replayed by {__version__}')
            if error.effects is not None:
                print(f'what {error.node} gives out now: {_plain(words_of_effects(error.effects))}')
            return 1
        self.conclude()
        nodes = len({name for name, _ in self.replay.cores})
        print(
            f'\nreplayed {_count(self.replay.inputs, "input")} of {_count(nodes, "node")}{until}: '
            'every output was the same'
        )
        return 0

    def conclude(self) -> None:
        """Print how all nodes ended, and what was broken."""
        print()
        self.print_states()
        for text in self.violations:
            print(f'\nVIOLATION: {text}')

    def take(self, moment: Moment) -> None:
        """Take note of the state, and print the line if it is wanted."""
        text = words_of(moment)
        if moment.state is not None and not isinstance(moment.record, Note):
            life = moment.record.node, moment.record.life
            before, summary = self.shown.get(life), Summary.of(moment.state)
            if summary != before:
                self.shown[life] = summary
                text += f'  =>  {summary.since(before)}'
        line = f'{moment.line:6} {moment.record.now:12.3f}  {_name_in(moment.record):{self.width}}'
        line = _plain(f'{line}  {text}')
        if _is_violation(moment.error):
            self.violations.append(line)
        if self.is_wanted(moment):
            print(line)

    def is_wanted(self, moment: Moment) -> bool:
        """Tell whether the line is to be shown."""
        names, record = self.options.node, moment.record
        return moment.line >= self.options.first and (
            not names or isinstance(record, Note) or record.node in names
        )

    def is_over(self, moment: Moment) -> bool:
        """Tell whether nothing more is to be replayed; where steps are wanted, ask."""
        last: Optional[int] = self.options.last
        if last is not None and moment.line >= last:
            return True
        if not self.options.step or not self.is_wanted(moment):
            return False
        while True:
            match ask():
                case '':
                    return False
                case 'q':
                    return True
                case 's':
                    self.print_states()
                case _:
                    print(HINT, file=sys.stderr)

    def print_states(self) -> None:
        """Print a table: where each life of each node stands."""
        rows = [COLUMNS]
        for (name, number), core in self.replay.cores.items():
            rows.append((name, str(number), *Summary.of(core.state)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (f'{cell:{width}}' for cell, width in zip(row, widths, strict=True))
            print(_plain('  '.join(cells).rstrip()))


class Summary(NamedTuple):
    """What of a node's state is shown."""

    role: str
    term: str
    vote: str
    last: str
    commit: str
    durable: str
    members: str

    @classmethod
    def of(cls, state: State) -> 'Summary':
        """Summarise the state as it is now."""
        is_following = state.leader not in (None, state.id)
        return cls(
            f'{state.role.name} of {state.leader}' if is_following else state.role.name,
            str(state.current_term),
            state.voted_for[0] if state.voted_for is not None else '-',
            f'{state.log.last_index}/{state.log.last_term}',
            str(state.commit_index),
            str(state.durability.durable_index),
            words_of_configuration(state.configuration),
        )

    def since(self, before: Optional['Summary']) -> str:
        """Say it in words; the members only when they changed."""
        text = (
            f'{self.role}, term {self.term}, vote {self.vote}, last {self.last}, '
            f'commit {self.commit}, durable {self.durable}'
        )
        if before is None or before.members == self.members:
            return text
        return f'{text}, members {self.members}'


# words


def words_of(moment: Moment) -> str:
    """Say what happened."""
    match moment.record:
        case Note(text=text):
            return f'-- {text}'
        case Begin(life=life, beginning=beginning):
            stored = beginning.stored
            kept = 'nothing stored' if stored is None else f'{len(stored.entries)} entries stored'
            return f'begins life {life}, with {kept}'
        case Step(event=event):
            text = words_of_event(event)
            if moment.error is None:
                return text
            if _is_violation(moment.error):
                return f'{text}  !!! {type(moment.error).__name__}: {moment.error}'
            return f'{text}  refused, {type(moment.error).__name__}: {moment.error}'
    if moment.effects is None:
        return f'gives out nothing  !!! {type(moment.error).__name__}: {moment.error}'
    return words_of_effects(moment.effects)


def words_of_event(event: Event) -> str:
    """Say what went into a core."""
    match event:
        case Received(request=request):
            return words_of_request(request)
        case Replied(request=request, reply=reply):
            return words_of_reply(request, reply)
        case Failed(request=request):
            return f'no answer from {request.route.receiver} to {type(request).__name__}'
        case ConnectionLost(node=node):
            return f'connection to {node} lost'
        case Persisted(number=number):
            return f'write {number} is durable'
        case SnapshotTaken(index=index, data=data):
            return f'snapshot taken of all up to {index}: {_count(len(data), "byte")}'
        case Woken():
            return 'deadline reached'
    name = type(event).__name__  # SoloRequested and the like
    return f'{name.removesuffix("Requested").lower()} requested'


def words_of_request(request: Request) -> str:
    """Say what was asked, and by whom."""
    route = request.route
    sender = 'itself' if route.sender == route.receiver else route.sender
    head = f'{type(request).__name__} from {sender}'
    match request:
        case AppendEntries():
            return (
                f'{head}: term {request.term}, '
                f'prev {request.prev_log_index}/{request.prev_log_term}, '
                f'{_count(len(request.entries), "entry")}, commit {request.leader_commit}'
            )
        case RequestVote() | RequestPreVote():
            last = f'{request.last_log_index}/{request.last_log_term}'
            return f'{head}: term {request.term}, last {last}'
        case TimeoutNow():
            return f'{head}: term {request.term}'
        case Propose():
            return f'{head}: {_count(len(request.payloads), "command")}'
        case ChangeMembership():
            changes = [f'attach {address.id}' for address in request.attach]
            changes += [f'detach {name}' for name in request.detach]
            return f'{head}: {", ".join(changes)}'
        case TransferLeadership():
            return f'{head}: to {request.target or "anybody"}'
        case InstallSnapshot():
            end = request.offset + len(request.data)
            return (
                f'{head}: term {request.term}, of all up to {request.last_index}/'
                f'{request.last_term}, bytes {request.offset} to {end} of {request.size}'
            )
        case Inquire() | ReadIndex():
            return head


def words_of_reply(request: Request, reply: Reply) -> str:
    """Say what was answered, by whom, and to what."""
    peer, asked = request.route.receiver, type(request).__name__
    match reply:
        case VoteReply(term=term, granted=granted):
            vote = 'pre-vote' if isinstance(request, RequestPreVote) else 'vote'
            return f'{vote} {"granted" if granted else "refused"} by {peer}: term {term}'
        case AppendEntriesReply(success=True, term=term) if isinstance(request, AppendEntries):
            last = request.prev_log_index + len(request.entries)
            return f'{peer} has all up to {last}: term {term}'
        case AppendEntriesReply(term=term, hint_index=index, hint_term=hint_term):
            return f'{peer} has no match: term {term}, hint {index}/{hint_term}'
        case InstallSnapshotReply(is_installed=is_installed, received=received):
            return f'{peer} has {"all of the snapshot" if is_installed else f"{received} bytes"}'
        case InquireReply(is_empty=is_empty):
            return f'{peer} says that it is {"empty" if is_empty else "not empty"}'
        case ReadIndexReply(index=index):
            return f'{peer} may read from {index} on'
        case Accepted():
            return f'{peer} accepts {asked}'
        case Refused(reason=reason, detail=detail):
            return f'{peer} refuses {asked}: {reason}' + (f' ({detail})' if detail else '')


def words_of_effects(effects: Effects) -> str:
    """Say what came out of a core."""
    parts = []
    if effects.reset:
        parts.append('empties its state')
    if effects.restore is not None:
        parts.append(f'restores its state as it was at {effects.restore.index}')
    if (write := effects.write) is not None:
        written = [] if write.hard_state is None else ['term and vote']
        if write.first_index is not None:
            written.append(f'{_count(len(write.entries), "entry")} from {write.first_index} on')
        if write.snapshot is not None:
            written.append(f'snapshot of all up to {write.snapshot.index}')
        parts.append(f'write {write.number}: {", ".join(written)}')
    for kind in dict.fromkeys(type(request).__name__ for request in effects.requests):
        peers = [r.route.receiver for r in effects.requests if type(r).__name__ == kind]
        parts.append(f'sends {kind} to {" ".join(peers)}')
    if effects.answers:
        parts.append(f'gives {_count(len(effects.answers), "answer")}')
    if effects.committed:
        first = effects.first_committed
        last = first + len(effects.committed) - 1
        parts.append(f'applies {first}' if first == last else f'applies {first} to {last}')
    parts.extend(f'tells: {notice.text}' for notice in effects.notices)
    return '; '.join(parts) or 'has nothing to do'


def words_of_configuration(configuration: Configuration) -> str:
    """Name the members: C_old > C_new while joint, learners after a plus."""
    text = _names(configuration.voters)
    if configuration.is_joint:
        text = f'{_names(configuration.outgoing)} > {text}'
    if configuration.learners:
        text += f' + {_names(configuration.learners)}'
    return text or '-'


def _names(members: Sequence[Member]) -> str:
    return ' '.join(member.id for member in members)


def _name_in(record: Record) -> str:
    """Name the node that the record is of, with its life after the first one."""
    if isinstance(record, Note):
        return ''
    return record.node if record.life == 1 else f'{record.node}/{record.life}'


def _is_violation(error: Optional[Exception]) -> bool:
    """Tell a broken rule, or another bug, from what the core refuses."""
    return isinstance(error, InvariantViolated) or not isinstance(error, ConsensualError | None)


def _count(number: int, noun: str) -> str:
    plural = f'{noun.removesuffix("y")}ies' if noun.endswith('y') else f'{noun}s'
    return f'{number} {noun if number == 1 else plural}'


def _plain(text: str) -> str:
    """Return the text as one line that any terminal can show: the file may be anybody's."""
    text = ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)
    encoding = sys.stdout.encoding or 'utf-8'
    return text.encode(encoding, 'backslashreplace').decode(encoding)
