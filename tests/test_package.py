"""The package as others find it: names, imports, rings."""

import subprocess
import sys

import consensual.raft


def test_public_names_are_importable_from_raft() -> None:
    """Design §2: other transports import exactly these."""
    from consensual.raft import (  # noqa: PLC0415 - this is what is tested
        MessageKind,
        Node,
        Processor,
        Receiver,
        ReceiverUnavailable,
        Sender,
        communication,
        plain,
    )

    assert plain is communication
    assert all((MessageKind, Node, Processor, Receiver, ReceiverUnavailable, Sender))
    assert set(consensual.raft.__all__) <= set(dir(consensual.raft))


def test_each_module_can_be_imported_first() -> None:
    """No import order is needed: storages, transports and errors are entrances, too."""
    for module in (
        'consensual.storage',
        'consensual.storage.memory',
        'consensual.raft.communication',
        'consensual.raft.errors',
        'consensual.raft.core.raft',
        'consensual.raft.driver.ports',
        'consensual.raft.node',
        'consensual.cli',
    ):
        done = subprocess.run(
            [sys.executable, '-c', f'import {module}'], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f'{module}: {done.stderr}'


def test_raft_needs_only_its_two_dependencies() -> None:
    """Design §5: `import consensual.raft` needs msgspec and yarl, and nothing for tests."""
    script = (
        'import sys, consensual.raft; '
        'print([name for name in ("aiohttp", "hypothesis", "pytest", "sqlite3", "rich") '
        'if name in sys.modules])'
    )
    done = subprocess.run(
        [sys.executable, '-c', script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == '[]'
