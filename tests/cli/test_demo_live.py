"""The demo on a terminal: what the picture shows, and that a terminal gets it."""

import io
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from consensual.cli.demo.live import LiveView, picture
from consensual.cli.demo.paces import Demo


def lines_of(demo: Demo) -> list[str]:
    """Return what a console shows of the run, without what is blank."""
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(picture(demo))
    return [line.rstrip() for line in console.export_text().splitlines() if line.strip()]


@pytest.mark.asyncio
async def test_picture_tells_role_term_indexes_and_progress() -> None:
    """A line for each node under the head, and the progress below."""
    demo = Demo(['one', 'two', 'three', 'four'], 3)
    await demo.assemble()
    await demo.write(3)
    await demo.settle()
    head, first, *_, last, progress = lines_of(demo)
    index = str(demo.leader().node.status.commit_index)
    assert head.split() == ['node', 'role', 'term', 'commit', 'applied', 'lag']
    assert first.split() == ['127.0.0.1:6000', '★', 'leader', '1', index, index]
    assert last.split() == ['127.0.0.1:6002', 'follower', '1', index, index]
    assert progress.endswith('3 of 4 lines')
    for replica in demo.replicas:
        await replica.node.stop()


@pytest.mark.asyncio
async def test_node_that_is_cut_off_lags_behind() -> None:
    """What the others committed meanwhile is its lag."""
    demo = Demo(['one', 'two'], 3)
    await demo.assemble()
    await demo.settle()
    follower = demo.replicas[2]
    demo.cut.add(follower.node.url)
    demo.entrances.remove(follower)
    await demo.write(2)
    status = follower.node.status
    lag = demo.leader().node.status.commit_index - status.applied_index
    assert lag >= 2
    row = next(line for line in lines_of(demo) if line.startswith(follower.name))
    assert row.split()[-3:] == [str(lag), 'cut', 'off']
    for replica in demo.replicas:
        await replica.node.stop()


@pytest.mark.asyncio
async def test_lines_scroll_by_above_the_picture() -> None:
    """They stay as they are, markup included; at the end the picture is the last."""
    written = io.StringIO()
    console = Console(file=written, width=100, force_terminal=True, color_system=None)
    demo = Demo(['one'], 3)
    async with LiveView(console).show(demo) as print_line:
        print_line('a line with [bold]')
    text = written.getvalue()
    assert 'a line with [bold]' in text
    assert text.rindex('0 of 1 lines') > text.index('a line with [bold]')


def test_terminal_gets_the_live_picture(tmp_path: Path) -> None:
    """The events as on a pipe, the picture, and the judgement at the end."""
    path = tmp_path / 'input'
    path.write_text('\n'.join(f'line {number}' for number in range(20)))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, '-m', 'consensual', 'demo', '--input', str(path), '--nodes', '3'],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {'TERM': 'xterm-256color', 'COLUMNS': '100', 'LINES': '40'},
    ) as process:
        os.close(theirs)
        text = read_all(ours)
    assert process.returncode == 0, text
    for part in ('★ leader', 'cutting off', 'cut off', '20 of 20 lines', 'once, in one order'):
        assert part in text


def read_all(terminal: int) -> str:
    """Return all that is written to a terminal until its other end is closed."""
    read = b''
    with open(terminal, 'rb', buffering=0) as file, suppress(OSError):
        while part := file.read(65536):
            read += part
    return read.decode()
