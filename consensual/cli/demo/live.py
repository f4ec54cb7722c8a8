"""A run of the demo on a terminal: lines that scroll by, and below them the cluster as it is now.

Looks at the run from outside; needs rich.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from consensual.cli.demo.paces import Demo, Replica

INTERVAL = 0.1
"""Seconds from one look at the cluster to the next."""

ROLES = {
    'leader': ('★ leader', 'bold green'),
    'follower': ('  follower', ''),
    'candidate': ('? candidate', 'yellow'),
    'pre_candidate': ('? pre-candidate', 'yellow'),
    'detached': ('  detached', 'dim'),
}
"""How each role is written, and in what style."""

WIDTH = 78


class LiveView:
    """Shows a run on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @asynccontextmanager
    async def show(self, demo: Demo) -> AsyncIterator[Callable[[str], None]]:
        """Keep the picture up to date; a line that is printed scrolls by above it."""
        with Live(picture(demo), console=self._console, auto_refresh=False) as live:
            drawing = asyncio.create_task(self._draw(live, demo))
            try:
                yield lambda text: live.console.print(text, highlight=False, markup=False)
            finally:
                drawing.cancel()
                await asyncio.gather(drawing, return_exceptions=True)
                live.update(picture(demo), refresh=True)

    async def _draw(self, live: Live, demo: Demo) -> None:
        while True:
            live.update(picture(demo), refresh=True)
            await asyncio.sleep(INTERVAL)


def picture(demo: Demo) -> Padding:
    """Return the cluster and the progress, as of now."""
    return Padding(Group(_nodes(demo), _progress(demo)), (1, 0))


def _nodes(demo: Demo) -> Table:
    table = Table(width=WIDTH, box=None, pad_edge=False, header_style='dim')
    table.add_column('node', ratio=3)
    table.add_column('role', ratio=3)
    for name in ('term', 'commit', 'applied', 'lag'):
        table.add_column(name, justify='right', ratio=2)
    table.add_column('', ratio=2)
    committed = max((r.node.status.commit_index for r in demo.members()), default=0)
    for replica in demo.replicas:
        table.add_row(*_row(demo, replica, committed))
    return table


def _row(demo: Demo, replica: Replica, committed: int) -> tuple[Text, ...]:
    status = replica.node.status
    name, style = ROLES[status.role]
    is_cut_off = replica.node.url in demo.cut
    lag = committed - status.applied_index if status.role != 'detached' else 0
    return (
        Text(status.id),
        Text(name, style),
        Text(str(status.term)),
        Text(str(status.commit_index)),
        Text(str(status.applied_index)),
        Text(str(lag) if lag else '', 'yellow'),
        Text('cut off' if is_cut_off else '', 'bold red'),
    )


def _progress(demo: Demo) -> Padding:
    done, total = len(demo.acknowledged), len(demo.lines)
    row = Table.grid(padding=(0, 2), pad_edge=False)
    row.add_row(
        ProgressBar(total=total, completed=done, width=48),
        Text(f'{done} of {total} lines'),
    )
    return Padding(row, (1, 0, 0, 0))
