"""`serve` before it begins: what it refuses; what it logs."""

import json
import logging
from pathlib import Path

import pytest

from consensual.cli import main
from consensual.cli.serve import JsonFormatter


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ([], 'url is missing'),
        (['--url', 'http://a:1'], 'data-dir is missing'),
        (['--url', 'http://a:1', '--data-dir', 'd', '--config', 'none.toml'], 'none.toml'),
        (['--url', 'http://a:1', '--data-dir', 'd', '--state-machine', 'x'], 'module:factory'),
        (['--url', 'http://a:1', '--data-dir', 'd', '--token-file', 'none'], 'none: No such'),
    ],
)
def test_bad_input_exits_with_2_before_anything_is_made(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(['serve', *arguments]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_log_is_json_in_each_line_if_asked() -> None:
    error = ValueError('two\nlines')
    record = logging.LogRecord(
        'consensual', logging.INFO, 'f.py', 1, '%s leads', ('a:1',), (ValueError, error, None)
    )
    line = JsonFormatter().format(record)
    assert '\n' not in line
    said = json.loads(line)
    assert said['message'] == 'a:1 leads'
    assert said['level'] == 'info'
    assert said['time'].endswith('Z')
    assert 'two\nlines' in said['exception']
