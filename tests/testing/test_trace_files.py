"""Files that are traces, were traces, or never were."""

from pathlib import Path

import pytest

from consensual import __version__
from consensual.testing.trace import InvalidTrace, Trace, load, replay
from tests.testing.traces import lone_leader

HEADER = f'{{"format":"consensual-trace","version":1,"library":"{__version__}"}}'


def test_last_line_that_is_cut_off_is_a_remark(tmp_path: Path) -> None:
    """Wherever the recorded process died; what comes before is replayed."""
    whole = lone_leader().text().encode()
    lines = whole.splitlines(keepends=True)
    path = tmp_path / 'cut.trace'
    for cut in range(len(lines[0]), len(whole)):
        path.write_bytes(whole[:cut])
        loaded = load(path)
        ends, rest = whole[:cut].count(b'\n'), whole[:cut].rpartition(b'\n')[2]
        is_whole = whole[cut : cut + 1] == b'\n'  # only the end of the line is missing
        assert list(loaded) == list(lone_leader())[: ends - 1 + is_whole]
        assert list(loaded.remarks) == [
            f'line {ends + 1} is cut off and left out: '
            'the recording ended while it was being written'
        ] * bool(rest and not is_whole)
        list(replay(loaded))


def _broken(place: int, line: bytes) -> bytes:
    lines = lone_leader().text().encode().splitlines()
    return b'\n'.join([*lines[:place], line, *lines[place:], b''])


TAKE = b'{"record":"take","node":"a","life":1,"now":1.0,"digest":"%s"}'
STEP = b'{"record":"step","node":"a","life":1,"now":1.0,"event":%s}'
BROKEN_LINES = {
    'empty': b'',
    'no JSON': b'{"record"',
    'binary': b'\xff\xfe\x00',
    'no UTF-8': b'{"record":"note","now":1.0,"text":"\xff"}',
    'other JSON': b'[1]',
    'unknown record': b'{"record":"what"}',
    'no digest': TAKE % b'what',
    'no number': b'{"record":"note","now":"soon","text":""}',
    'field missing': b'{"record":"note","now":1.0}',
    'unknown event': STEP % b'{"type":"What"}',
    'event that is none': STEP % b'7',
    'unknown kind': STEP % b'{"type":"Failed","kind":99,"request":{}}',
    'request of another kind': STEP % b'{"type":"Failed","kind":1,"request":{"route":[]}}',
    'nested deeply': STEP % (b'[' * 100_000 + b']' * 100_000),
    'stranger': TAKE.replace(b'"a"', b'"z"') % b'01234567',
    'another life': TAKE.replace(b'1', b'2', 1) % b'01234567',
    'life 0': TAKE.replace(b'1', b'0', 1) % b'01234567',
}


@pytest.mark.parametrize('line', BROKEN_LINES.values(), ids=BROKEN_LINES)
def test_broken_line_is_named(line: bytes, tmp_path: Path) -> None:
    """The error tells which line of which file it is, and what to do."""
    path = tmp_path / 'broken.trace'
    path.write_bytes(_broken(3, line))
    with pytest.raises(InvalidTrace, match='take an undamaged copy, or delete') as caught:
        load(path)
    assert (caught.value.path, caught.value.line) == (str(path), 4)
    assert str(caught.value).startswith(f'{path}, line 4: ')
    assert isinstance(caught.value, ValueError)


def test_life_that_begins_twice_is_invalid(tmp_path: Path) -> None:
    """As when two traces were written to one file."""
    path = tmp_path / 'twice.trace'
    path.write_bytes(_broken(3, lone_leader().text().encode().splitlines()[1]))
    with pytest.raises(InvalidTrace, match='line 4: life 1 of a begins again'):
        load(path)


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'\n',
        b'hello\n',
        b'\x89PNG\r\n',
        HEADER[:-3].encode(),
        b'{}\n',
        b'{"x":' + b'[' * 100_000,
        b'{"format":"other","version":1,"library":"1"}\n',
        b'{"process":0,"type":"ok"}\n',
    ],
    ids=lambda content: repr(content[:12]),
)
def test_foreign_file_is_no_trace(content: bytes, tmp_path: Path) -> None:
    """The error says what to give instead."""
    path = tmp_path / 'foreign'
    path.write_bytes(content)
    with pytest.raises(InvalidTrace, match='no trace of consensual; give a file that') as caught:
        load(path)
    assert (caught.value.path, caught.value.line) == (str(path), 1)


def test_trace_of_another_version_names_the_library_to_take(tmp_path: Path) -> None:
    """Its lines are not even looked at."""
    path = tmp_path / 'new.trace'
    path.write_text('{"format":"consensual-trace","version":2,"library":"9.9"}\nwhat\n')
    with pytest.raises(InvalidTrace, match=r'version 2 .* reads version 1; .* consensual 9\.9'):
        load(path)


def test_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    """As everywhere."""
    with pytest.raises(FileNotFoundError):
        load(tmp_path / 'none')


def test_header_holds_nothing_that_changes() -> None:
    """No time, no path: the bytes depend on the run alone."""
    assert Trace().text() == HEADER + '\n'
