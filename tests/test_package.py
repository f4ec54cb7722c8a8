"""The package as others find it: names, imports, rings."""

import ast
import subprocess
import sys
from pathlib import Path

import consensual.raft

PARTS = 'consensual', 'tests', 'benchmarks'
"""The folders of the repository that hold Python."""


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
        'consensual.machines',
        'consensual.raft.communication',
        'consensual.raft.errors',
        'consensual.raft.core.raft',
        'consensual.raft.driver.ports',
        'consensual.raft.node',
        'consensual.cli',
        'consensual.testing',
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


def test_files_and_functions_stay_small() -> None:
    """A file is one noun or one rule: at most 500 lines; a function is at most 60 lines."""
    root = Path(__file__).parent.parent
    files = [path for name in PARTS for path in sorted((root / name).rglob('*.py'))]
    assert len(files) > 50
    too_long = []
    for path in files:
        text = path.read_text(encoding='utf-8')
        lengths = [('the file', len(text.splitlines()), 500)]
        lengths += [
            (item.name, (item.end_lineno or 0) - item.lineno + 1, 60)
            for item in ast.walk(ast.parse(text))
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        too_long += [
            f'{path.relative_to(root)}: {name} has {length} lines'
            for name, length, limit in lengths
            if length > limit
        ]
    assert too_long == []
