"""What goes wrong in the first minutes is told in one line that says what to do; no traceback."""

import os
import socket
from pathlib import Path

import pytest

from consensual.cli import main
from consensual.testing.ports import free_url

NODE = '--node http://127.0.0.1:1'
SERVE = 'serve --url http://127.0.0.1:1 --data-dir'
COMMANDS = (
    *('serve', 'status', 'attach', 'detach', 'transfer', 'snapshot', 'solo', 'call', 'bench'),
    *('demo', 'replay', 'storage', 'storage inspect', 'storage verify', 'storage export'),
    *('storage readdress', 'kv', 'kv get', 'kv put', 'kv delete', 'kv cas', 'kv range'),
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that commands are typed in; `file` in it is no folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('CONSENSUAL_NODES', raising=False)
    (tmp_path / 'file').touch()
    return tmp_path


def typed(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Type a command; return its exit status and the last line of what it says is wrong."""
    try:
        status = main(line.split())
    except SystemExit as ended:  # argparse, which shows the usage first
        status = int(ended.code or 0)
    said = capsys.readouterr().err.rstrip('\n')
    usage, _, rest = said.rpartition('\n')
    assert not usage or usage.startswith('usage: '), said
    return status, rest


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), '--help'])
    assert ended.value.code == 0
    assert f'usage: consensual {command} ' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('line', 'status', 'said'),
    [
        ('', 2, 'arguments are required: COMMAND'),
        ('sevre', 2, "invalid choice: 'sevre'"),
        ('status --nodes', 2, 'unrecognized arguments: --nodes'),
        ('status', 2, 'Name a member with --node URL, or in CONSENSUAL_NODES'),
        ('status --node localhost:8000', 2, 'is not of the form http://HOST:PORT'),
        (f'status {NODE}', 3, 'Connection refused; is a node running there? Name others by --node'),
        (f'status {NODE} --token-file none', 2, 'none: No such file or directory'),
        (f'kv get key {NODE}', 3, 'Connection refused; is a node running there?'),
        (f'kv put key word {NODE}', 2, 'put in double quotes, or marked by --text'),
        (f'kv range --limit 0 {NODE}', 2, "'0' is no number of keys, which is 1 or more"),
        ('kv get', 2, 'arguments are required: KEY'),
        ('attach', 2, 'arguments are required: URL'),
        ('call add {', 2, "'{' is no JSON"),
        ('serve', 2, 'url is missing: give it as a flag, or in the file'),
        (
            f'{SERVE} data --state-machine json:loads',
            2,
            'is called without arguments, which it refuses',
        ),
        (f'{SERVE} data --state-machine os:getcwd', 2, 'a state machine has `processors`'),
        (f'{SERVE} file', 2, 'data-dir file: File exists; name a folder'),
        (f'{SERVE} file/a', 2, 'data-dir file/a: Not a directory; name a folder'),
        (f'{SERVE} data --bind 192.0.2.1:80', 2, 'or mean it, by insecure'),
        (f'{SERVE} data --bind 192.0.2.1:80 --insecure', 2, 'name an address of this machine'),
        ('demo --input none', 2, 'there is no such file; name one with --input'),
        ('demo --web --port 65536', 2, "'65536' is no port, which is 0 to 65535"),
        ('storage verify none', 2, 'there is no file none'),
        ('replay none', 2, 'there is no such file'),
    ],
)
def test_mistake_is_told_in_one_line(
    line: str, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, line_said = typed(line, capsys)
    assert said in line_said
    assert ended == status


def test_address_that_is_taken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a node and of the page of the demo."""
    with socket.create_server(('127.0.0.1', 0)) as listening:
        port = listening.getsockname()[1]
        ended, said = typed(f'serve --url http://127.0.0.1:{port} --data-dir data', capsys)
        assert f'127.0.0.1:{port}: Address already in use; name an address of this mach' in said
        assert ended == 2
        ended, said = typed(f'demo --web --port {port}', capsys)
        assert 'already in use; name another --port, or 0' in said
        assert ended == 2


@pytest.mark.skipif(os.getuid() == 0, reason='root may write everywhere')
def test_folder_that_may_not_be_written_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / 'data').mkdir(mode=0o500)
    ended, said = typed(f'serve --url {free_url()} --data-dir data', capsys)
    assert 'node.db cannot be opened: is this process allowed to' in said
    assert ended == 1
