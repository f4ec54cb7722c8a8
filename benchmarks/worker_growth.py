"""A long run with files, in a process of its own: COMMANDS KEYS DIRECTORY; prints samples."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import cluster
import load
from counted import Counted

SAMPLES = 20
VALUE = 'x' * 100


class Table:
    """A state machine of bounded state: some keys, each with a text."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    @property
    def processors(self) -> dict[str, Any]:
        return {'put': self.put}

    def put(self, pair: list[str]) -> None:
        key, value = pair
        self.values[key] = value

    def snapshot(self) -> dict[str, str]:
        return self.values.copy()

    def restore(self, value: dict[str, str]) -> None:
        self.values = value

    def reset(self) -> None:
        self.values = {}


def resident() -> int:
    """Return the bytes of memory that this process has."""
    for line in Path('/proc/self/status').read_text(encoding='ascii').splitlines():
        if line.startswith('VmRSS:'):
            return 1024 * int(line.split()[1])
    raise SystemExit('the system does not tell how much memory a process has')


async def main(number: int, keys: int, directory: Path) -> None:
    """Submit so many commands from 64 callers, in as many parts as there are samples."""
    tables = [Table() for _ in range(cluster.SIZE)]
    storages = [Counted(directory / f'{each}.db') for each in range(cluster.SIZE)]
    nodes = await cluster.found(
        [
            {'state_machine': table, 'storage': storage}
            for table, storage in zip(tables, storages, strict=True)
        ]
    )
    done = 0

    async def submit(index: int) -> None:
        pair = [f'key {(done + index) % keys}', f'{done + index} {VALUE}']
        error = await nodes[0].enqueue('put', pair, timeout=60)
        if error is not None:
            raise SystemExit(error)

    for sample in range(1, SAMPLES + 1):
        part = number * sample // SAMPLES - done
        figures = await load.run('closed64', part, submit)
        done += part
        figures |= {
            'done': done,
            'resident': resident(),
            'files': [storage.size for storage in storages],
            'kept': [storage.end - storage.first for storage in storages],
            'snapshots': [storage.snapshots for storage in storages],
        }
        load.report(figures)
    for node in nodes:
        await node.ensure_linearizable()
    load.report({'is_equal': all(table.values == tables[0].values for table in tables)})
    await cluster.stop(nodes)


if __name__ == '__main__':
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
