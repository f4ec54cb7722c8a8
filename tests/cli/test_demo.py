"""The demo, as somebody who types the command sees it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from consensual.cli.demo import DEFAULT_INPUT


def demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'consensual', 'demo', *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_demo_replicates_a_file_through_every_disturbance(tmp_path: Path) -> None:
    """All replicas end with the acknowledged lines; what happened is told."""
    text = tmp_path / 'text'
    text.write_text('\n'.join(f'line {number}: ünïcödé' for number in range(300)))
    done = demo('--input', text, '--nodes', 3)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '300 lines acknowledged, 0 not' in done.stdout
    for event in ('cutting off', 'healing', 'attaching', 'detaching', 'handed the leadership'):
        assert event in done.stdout
    assert done.stdout.rstrip().endswith('once, in one order')


def test_default_text_has_at_least_5000_lines() -> None:
    """The demo has something to do without being given anything."""
    assert len(DEFAULT_INPUT.read_text(encoding='utf-8').splitlines()) >= 5000


@pytest.mark.parametrize(
    ('content', 'said'),
    [(None, 'no such file'), (b'\xff\xfe\x00', 'not UTF-8'), (b'', 'nothing to replicate')],
)
def test_bad_input_is_one_line_and_status_2(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    """A missing file, one that is no text, an empty one."""
    path = tmp_path / 'input'
    if content is not None:
        path.write_bytes(content)
    done = demo('--input', path)
    assert done.returncode == 2
    assert done.stdout == ''
    assert done.stderr.count('\n') == 1
    assert said in done.stderr
    assert str(path) in done.stderr


def test_directory_is_bad_input(tmp_path: Path) -> None:
    """A directory is no text."""
    done = demo('--input', tmp_path)
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1


def test_number_of_nodes_is_checked() -> None:
    """Fewer than three nodes cannot lose one."""
    done = demo('--nodes', 2)
    assert done.returncode == 2
    assert 'invalid choice: 2' in done.stderr


def test_line_that_is_too_long_once_escaped_is_bad_input(tmp_path: Path) -> None:
    """What counts is the size as JSON, in which a line travels."""
    path = tmp_path / 'input'
    path.write_text('ü' * 200_000, encoding='utf-8')
    done = demo('--input', path)
    assert done.returncode == 2
    assert done.stdout == ''
    assert done.stderr.count('\n') == 1
    assert 'line 1 is longer than' in done.stderr


def test_reader_who_goes_away_sees_no_traceback(tmp_path: Path) -> None:
    """As `python -m consensual demo | head -1`: the pipe is closed before all is said."""
    path = tmp_path / 'input'
    path.write_text('one line')
    with subprocess.Popen(
        [sys.executable, '-m', 'consensual', 'demo', '--input', str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
    assert said == ''
    assert process.returncode == 141


def heed_ctrl_c() -> None:
    """Have Ctrl+C heeded, as on a terminal; what a shell runs behind the scenes ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_it_without_a_traceback(tmp_path: Path) -> None:
    """Somebody has seen enough, long before the end of a long text."""
    path = tmp_path / 'input'
    path.write_text('\n'.join(f'line {number}' for number in range(200_000)))
    with subprocess.Popen(
        [sys.executable, '-m', 'consensual', 'demo', '--input', str(path), '--nodes', '3'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - the tests may run where it is ignored
    ) as process:
        assert process.stdout is not None
        assert 'replicating' in process.stdout.readline() + process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, '')
