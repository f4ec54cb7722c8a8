"""Clusters of the systems that `network` compares: how each is started, asked, and loses a leader.

Every process is ended by its own id.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

from benchmarks.workers import Worker
from consensual.testing.ports import free_url


class Loaded(NamedTuple):
    """With what options a cluster is made, and what is measured of it.

    measurements: each a row, column, deed, callers, figure.
    """

    options: dict[str, Any]
    measurements: Sequence[tuple[str, str, str, int, str]]


def free_port() -> int:
    port = free_url().port
    if port is None:
        raise SystemExit('no port is free')
    return port


def eventually(what: str, is_so: Any, seconds: float = 30) -> Any:
    """Ask until the answer is true, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := is_so():
            return answer
        time.sleep(0.05)
    raise SystemExit(f'{what}: not within {seconds} s')


class Members:
    """A cluster whose nodes are workers that know whether they lead, and can be asked to write."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.others: list[Worker] = []

    def leader(self) -> Worker:
        """Return who leads, and nobody else does."""

        def find() -> Optional[Worker]:
            leaders = [worker for worker in self.workers if worker.ask('leads')]
            return leaders[0] if len(leaders) == 1 else None

        found: Worker = eventually('a leader', find)
        return found

    def ask(self, deed: str, **what: Any) -> Any:
        """Have the leader do it."""
        return self.leader().ask(deed, **what)

    def kill_leader(self) -> float:
        """Kill the leader; the others try to write from then on. Return when that was."""
        leader = self.leader()
        self.others = [worker for worker in self.workers if worker is not leader]
        leader.process.kill()
        killed_at = time.monotonic()
        for worker in self.others:
            worker.tell('probe')
        leader.kill()
        self.workers.remove(leader)
        return killed_at

    def acknowledged_at(self) -> float:
        """Return when the first write was acknowledged to one of the others."""
        return min(worker.answer() for worker in self.others)

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()


class Consensual(Members):
    """This library, with files, over HTTP; asked in the leader's process, or from another one."""

    can_fail_over = True
    loads = (
        Loaded(
            {},
            [
                ('1 writer, p50 ms', 'consensual, in its leader', 'write', 1, 'p50_ms'),
                ('64 writers, /s', 'consensual, in its leader', 'write', 64, 'per_second'),
                ('256 writers, /s', 'consensual, in its leader', 'write', 256, 'per_second'),
                ('1,000 writers, /s', 'consensual, in its leader', 'write', 1000, 'per_second'),
                ('256 readers, /s', 'consensual, in its leader', 'read', 256, 'per_second'),
                ('1 writer, p50 ms', 'consensual, from outside', 'client write', 1, 'p50_ms'),
                ('64 writers, /s', 'consensual, from outside', 'client write', 64, 'per_second'),
                ('256 writers, /s', 'consensual, from outside', 'client write', 256, 'per_second'),
                ('256 readers, /s', 'consensual, from outside', 'client read', 256, 'per_second'),
                (
                    '256 writers by REST, /s',
                    'consensual, from outside',
                    'client rest',
                    256,
                    'per_second',
                ),
            ],
        ),
    )

    def __init__(self, directory: Path, size: int) -> None:
        super().__init__()
        self.directory = directory
        self.urls = [str(free_url()) for _ in range(size)]
        self.client: Optional[Worker] = None

    @staticmethod
    def missing() -> str:
        return ''

    def start(self) -> None:
        for number, url in enumerate(self.urls):
            path = self.directory / f'{number}.db'
            self.workers.append(Worker('worker_network_node.py', url, path))
        for worker in self.workers:
            worker.ask('leads')  # it is up
        errors = self.workers[0].ask('found', urls=self.urls[1:])
        if errors != [None, None]:
            raise SystemExit(f'the cluster was not founded: {errors}')
        self.client = Worker('worker_network_client.py', *self.urls)

    def ask(self, deed: str, **what: Any) -> Any:
        if deed.startswith('client ') and self.client is not None:
            return self.client.ask(deed.removeprefix('client '), **what)
        return super().ask(deed, **what)

    def close(self) -> None:
        if self.client is not None:
            self.client.kill()
        super().close()


class PySyncObj(Members):
    """PySyncObj with a journal, which it does not sync; asked in the leader's process."""

    can_fail_over = True
    loads = (
        Loaded(
            {'style': 'single'},
            [('1 writer, p50 ms', 'PySyncObj', 'write', 1, 'p50_ms')],
        ),
        Loaded(
            {},
            [
                ('64 writers, /s', 'PySyncObj', 'write', 64, 'per_second'),
                ('256 writers, /s', 'PySyncObj', 'write', 256, 'per_second'),
                ('1,000 writers, /s', 'PySyncObj', 'write', 1000, 'per_second'),
            ],
        ),
    )

    def __init__(self, directory: Path, size: int, style: str = 'batches') -> None:
        super().__init__()
        self.directory = directory
        self.style = style
        self.addresses = [f'127.0.0.1:{free_port()}' for _ in range(size)]

    @staticmethod
    def missing() -> str:
        is_there = importlib.util.find_spec('pysyncobj')
        return '' if is_there else 'pip install pysyncobj==0.3.17'

    def start(self) -> None:
        for number, address in enumerate(self.addresses):
            others = [other for other in self.addresses if other != address]
            journal = self.directory / f'{number}.journal'
            self.workers.append(
                Worker('worker_pysyncobj.py', journal, self.style, address, *others)
            )
        self.leader()


class Etcd:
    """etcd as Debian has it, its own defaults; asked from another process, at its leader."""

    can_fail_over = True
    loads = (
        Loaded(
            {},
            [
                ('1 writer, p50 ms', 'etcd', 'write', 1, 'p50_ms'),
                ('64 writers, /s', 'etcd', 'write', 64, 'per_second'),
                ('256 writers, /s', 'etcd', 'write', 256, 'per_second'),
                ('256 readers, /s', 'etcd', 'read', 256, 'per_second'),
                ('256 writers by REST, /s', 'etcd', 'rest', 256, 'per_second'),
            ],
        ),
    )

    def __init__(self, directory: Path, size: int) -> None:
        self.directory = directory
        self.ports = [free_port() for _ in range(size)]
        self.peers = [f'http://127.0.0.1:{free_port()}' for _ in range(size)]
        self.processes: list[subprocess.Popen[bytes]] = []
        self.client: Optional[Worker] = None

    @staticmethod
    def missing() -> str:
        if shutil.which('etcd') is None:
            return 'apt-get install etcd-server'
        return '' if importlib.util.find_spec('grpc') else 'pip install grpcio'

    def start(self) -> None:
        names = [f'n{number}' for number in range(len(self.ports))]
        cluster = ','.join(f'{name}={url}' for name, url in zip(names, self.peers, strict=True))
        environment = {
            key: value for key, value in os.environ.items() if 'proxy' not in key.lower()
        }
        for name, port, peer in zip(names, self.ports, self.peers, strict=True):
            own = f'http://127.0.0.1:{port}'
            flags = {
                'name': name,
                'data-dir': self.directory / name,
                'listen-peer-urls': peer,
                'initial-advertise-peer-urls': peer,
                'listen-client-urls': own,
                'advertise-client-urls': own,
                'initial-cluster': cluster,
                'log-level': 'error',
                'logger': 'zap',
            }
            self.processes.append(
                subprocess.Popen(
                    ['etcd', *(f'--{flag}={value}' for flag, value in flags.items())],
                    stderr=subprocess.DEVNULL,
                    env=environment,
                )
            )
        ports = [str(port) for port in self.ports]
        ports.insert(0, ports.pop(self.leader()))
        self.client = Worker('worker_etcd.py', *ports)

    def leader(self) -> int:
        """Return the number of who leads, once all agree."""

        def find() -> Optional[tuple[int]]:
            said = [self.status(port) for port in self.ports]
            leaders = {status.get('leader') for status in said}
            if len(leaders) != 1 or leaders == {None}:
                return None
            return ([status['header']['member_id'] for status in said].index(*leaders),)

        (number,) = eventually('a leader of etcd', find)
        return number

    def status(self, port: int) -> dict[str, Any]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f'http://127.0.0.1:{port}/v3/maintenance/status'
        try:
            with opener.open(url, b'{}', timeout=2) as answer:
                status: dict[str, Any] = json.load(answer)
                return status
        except OSError:
            return {}

    def ask(self, deed: str, **what: Any) -> Any:
        if self.client is None:
            raise SystemExit('etcd was not started')
        return self.client.ask(deed, **what)

    def kill_leader(self) -> float:
        process = self.processes[self.leader()]
        process.kill()
        killed_at = time.monotonic()
        if self.client is not None:
            self.client.tell('probe')
        process.wait()
        return killed_at

    def acknowledged_at(self) -> float:
        if self.client is None:
            raise SystemExit('etcd was not started')
        instant: float = self.client.answer()
        return instant

    def close(self) -> None:
        if self.client is not None:
            self.client.kill()
        for process in self.processes:
            process.kill()
            process.wait()


def _floor(column: str) -> tuple[Loaded]:
    return (
        Loaded(
            {},
            [
                ('1 writer, p50 ms', column, 'write', 1, 'p50_ms'),
                ('64 writers, /s', column, 'write', 64, 'per_second'),
                ('256 writers, /s', column, 'write', 256, 'per_second'),
                ('1,000 writers, /s', column, 'write', 1000, 'per_second'),
            ],
        ),
    )


class Floor:
    """No Raft at all: see `worker_floor`."""

    can_fail_over = False
    loads = _floor('floor')
    worker = 'worker_floor.py'

    def __init__(self, directory: Path, size: int) -> None:
        self.directory = directory
        self.ports = [free_port() for _ in range(size - 1)]
        self.workers: list[Worker] = []

    @staticmethod
    def missing() -> str:
        return ''

    def start(self) -> None:
        self.workers.append(Worker(self.worker, 'lead', self.directory / 'leader'))
        for port in self.ports:
            self.workers.append(Worker(self.worker, 'follow', self.directory / str(port)))
            self.workers[-1].ask('listen', port=port)
        self.workers[0].ask('connect', ports=self.ports)

    def ask(self, deed: str, **what: Any) -> Any:
        return self.workers[0].ask(deed, **what)

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()


class FloorOfParts(Floor):
    """No Raft, either, but the parts that this library is made of: see `worker_floor_parts`."""

    loads = _floor('floor of the same parts')
    worker = 'worker_floor_parts.py'
