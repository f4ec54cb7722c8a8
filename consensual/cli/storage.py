"""`storage`: what is in the file of a `SQLiteStorage`, for whoever operates a node.

It reads, and only `readdress` changes something; what stands where is known to
`consensual.storage`.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Optional

import msgspec
from yarl import URL

from consensual.raft.core import identity
from consensual.raft.core.configuration import Address
from consensual.raft.core.effects import HardState, Snapshot, Write
from consensual.raft.driver.addresses import address_of
from consensual.raft.errors import StorageCorrupted, StorageError

if TYPE_CHECKING:
    from consensual.storage.sqlite_file import Reader


class BadInputError(Exception):
    """There is nothing to be read; the text says why."""


def add_to(commands: Any) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        'storage',
        help='inspect, verify, export or re-address the file of a node that does not run',
        description='Look into the file of a SQLiteStorage, or make it that of another node. '
        'Exits with 1 when a record is damaged, with 2 when the file is in use by a node, or is '
        'no storage.',
    )
    actions = parser.add_subparsers(title='actions', required=True, metavar='ACTION')
    children = {}
    for action, text in (
        (inspect, 'print the hard state, the range of the log, the snapshot and the sizes'),
        (verify, 'check every record; print how many there are, or the first damage'),
        (export, 'print the entries of the log, a JSON object in each line'),
        (readdress, 'make the data those of the node at URL, in no cluster, history kept'),
    ):
        child = actions.add_parser(action.__name__, help=text, description=f'To {text}.')
        child.add_argument('path', metavar='PATH', type=Path, help='the file of the storage')
        child.set_defaults(run=run, action=action)
        children[action] = child
    limits = children[export]
    limits.add_argument(
        '--from', dest='first', type=_index, default=1, metavar='INDEX', help='the first entry'
    )
    limits.add_argument('--to', dest='last', type=_index, metavar='INDEX', help='the last entry')
    children[readdress].add_argument(
        'address', metavar='URL', type=_address, help='of the node that is to start with it'
    )


def _index(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no index of an entry')
    return int(text)


def _address(text: str) -> Address:
    try:
        return address_of(URL(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    try:
        options.action(options)
    except StorageCorrupted as error:
        sys.stdout.flush()
        print(f'storage: {error}', file=sys.stderr)
        return 1
    except (BadInputError, StorageError) as error:
        sys.stdout.flush()
        print(f'storage: {error}', file=sys.stderr)
        return 2
    return 0


@contextmanager
def reading(path: Path) -> 'Iterator[Reader]':
    """Read a storage that nobody uses.

    Raises `BadInputError` for anything else, `StorageCorrupted` for damage.
    """
    try:
        from consensual.storage import sqlite_file  # noqa: PLC0415 - the other commands need none
    except ImportError as error:
        raise BadInputError(f'this Python cannot read SQLite: {error}') from error
    sqlite_file.check_wal(path)
    is_without_log = not sqlite_file.wal_of(path).exists()
    try:
        connection = sqlite_file.open_to_read(path)
    except StorageError as error:
        raise BadInputError(str(error)) from error
    try:
        yield sqlite_file.Reader(connection, path)
        if is_without_log and sqlite_file.wal_of(path).exists():
            raise BadInputError(f'{path} is in use by a node, which was started meanwhile')
    finally:
        connection.close()


def inspect(options: argparse.Namespace) -> None:
    """Print what an operator asks first."""
    with reading(options.path) as reader:
        remarks = reader.meta()
        node = reader.node()
        rows = [
            ('file', str(options.path)),
            ('format', remarks['format']),
            ('created by', remarks.get('created_by', '-')),
            *_words_of_node(None if node is None else node[0]),
            ('log', _words_of_log(reader, 1 if node is None else node[1])),
            ('snapshot', _words_of_snapshot(reader.snapshot())),
            (
                'size',
                ', '.join(f'{number} bytes {what}' for what, number in reader.sizes().items()),
            ),
        ]
    for name, text in rows:
        print(f'{name:<18}{_plain(text)}')


def verify(options: argparse.Namespace) -> None:
    """Check everything."""
    with reading(options.path) as reader:
        reader.integrity()
        reader.meta()
        node = reader.node()
        reader.snapshot()
        for _ in reader.entries(1 if node is None else node[1]):
            pass
    print(f'verified {reader.read} records')


def export(options: argparse.Namespace) -> None:
    """Print entries as lines of JSON."""
    first, last = options.first, options.last
    if last is not None and last < first:
        raise BadInputError(f'--to {last} is before --from {first}')
    with reading(options.path) as reader:
        node = reader.node()
        for index, words in reader.words(1 if node is None else node[1]):
            if last is not None and index > last:
                break
            if index >= first:
                sys.stdout.buffer.write(msgspec.json.encode(words) + b'\n')


def readdress(options: argparse.Namespace) -> None:
    """Make the data another node's, or the same one's from a copy; print what to do next."""
    with reading(options.path):  # else what is no storage would be made one
        pass
    from consensual.storage.sqlite_database import Database  # noqa: PLC0415 - as in `reading`

    database = Database(options.path)
    stored = database.load()
    try:
        if stored is None:
            raise BadInputError(f'nothing was written to {options.path}: any node may have it')
        old = stored.hard_state
        new = identity.readdress(old, options.address.id, token_hex(8))
        database.write(Write(1, new))
    finally:
        database.close()
    for line in _words_of_readdress(options.path, old, new):
        print(_plain(line))


def _words_of_readdress(path: Path, old: HardState, new: HardState) -> Iterator[str]:
    def name(state: HardState) -> str:
        return f'{state.node_id or "a node that is not named"} (incarnation {state.incarnation})'

    yield f'{path}: the data of {name(old)} are now those of {name(new)},'
    yield 'which is in no cluster and voted for nobody. Term, cluster id, log and snapshot are'
    yield 'kept. Start the node with it, and call one of these:'
    yield '  solo()    to go on alone with this history, as the first of a new cluster'
    yield '  detach()  to empty it, so that a cluster can attach it anew'
    if old.is_attached:
        yield 'Its cluster still counts on the incarnation that it was. If that has no other data,'
        yield 'detach that member; or empty the node under the same URL: it is taken in again then.'


def _words_of_node(hard_state: Optional[HardState]) -> list[tuple[str, str]]:
    if hard_state is None:
        return [('node', 'nothing was written yet')]
    return [
        ('node', hard_state.node_id or '-'),
        ('incarnation', hard_state.incarnation),
        ('cluster', hard_state.cluster_id or '-'),
        ('member', 'yes' if hard_state.is_attached else 'no'),
        ('term', str(hard_state.current_term)),
        ('vote', hard_state.voted_for or '-'),
    ]


def _words_of_log(reader: 'Reader', first_index: int) -> str:
    last, term = first_index - 1, 0
    for row in reader.log(first_index):
        last, term = row[0], row[1]
    if last < first_index:
        return f'no entries, the next one is {first_index}'
    return f'{last - first_index + 1} entries, {first_index} to {last}, the last one of term {term}'


def _words_of_snapshot(snapshot: Optional[Snapshot]) -> str:
    if snapshot is None:
        return '-'
    voters = ' '.join(member.id for member in snapshot.configuration.configuration.voters)
    return (
        f'up to entry {snapshot.index} of term {snapshot.term}, '
        f'{len(snapshot.data)} bytes, voters {voters or "-"}'
    )


def _plain(text: str) -> str:
    """Return the text as one line that any terminal can show: the file may be anybody's."""
    text = ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)
    encoding = sys.stdout.encoding or 'utf-8'
    return text.encode(encoding, 'backslashreplace').decode(encoding)
