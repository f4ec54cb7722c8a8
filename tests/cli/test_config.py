"""What `serve` is told: flags, a file, secrets; and what it refuses before it begins."""

from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from consensual.cli.config import (
    Config,
    ConfigError,
    client_context,
    config_of,
    load_state_machine,
    node_url,
    read_token,
)
from consensual.machines import KeyValueStore, Lock

URL_A = URL('http://a:8000')


def test_file_says_what_flags_do_not(tmp_path: Path) -> None:
    path = tmp_path / 'node.toml'
    path.write_text(
        'url = "http://a:8000"\ndata-dir = "data"\nbind = "0.0.0.0:9000"\nheartbeat = 1\n'
        'join = ["http://b:8000", "http://c:8000"]\ntoken-file = "/run/token"\nlog-json = true\n'
    )
    config = config_of({'heartbeat': 0.2, 'solo': None}, path)
    assert config == Config(
        URL_A,
        tmp_path / 'data',
        bind='0.0.0.0:9000',
        join=(URL('http://b:8000'), URL('http://c:8000')),
        heartbeat=0.2,
        token_file=Path('/run/token'),
        log_json=True,
    )
    assert config_of({'solo': True}, path).join == ()


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('urls = "http://a:1"', "'urls' is no setting; there are bind, data-dir"),
        ('data_dir = "data"', "'data_dir' is no setting"),
        ('url = 1', 'url: a string is needed, not 1'),
        ('url = "a:1"', "'a:1' is not of the form http://HOST:PORT"),
        ('join = "http://a:1"', 'join: a list of URLs is needed'),
        ('solo = "yes"', 'solo: true or false is needed'),
        ('heartbeat = true', 'heartbeat: a number is needed'),
        ('heartbeat = ', 'not TOML'),
    ],
)
def test_file_that_says_something_else_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / 'node.toml'
    path.write_text(text)
    with pytest.raises(ConfigError, match=r'node\.toml') as caught:
        config_of({}, path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'tls_cert': Path('c')}, 'a certificate needs its key'),
        ({'tls_ca': Path('c')}, 'give tls-cert and tls-key, too'),
        ({'tls_cert': Path('c'), 'tls_key': Path('k')}, 'with a certificate the URL is https'),
        ({'url': URL('https://a:1')}, 'without one it is http'),
        ({'heartbeat': 0.0}, 'above 0'),
        ({'heartbeat': float('nan')}, 'above 0'),
        ({'bind': '8000'}, 'bind is HOST:PORT'),
        ({'bind': 'a:65536'}, 'bind is HOST:PORT'),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Config(**{'url': URL_A, 'data_dir': Path('data')} | settings)


@pytest.mark.parametrize(
    ('bind', 'address'),
    [
        (None, ('a', 8000)),
        ('127.0.0.1:0', ('127.0.0.1', 0)),
        ('[::1]:80', ('::1', 80)),
        (':80', ('', 80)),
    ],
)
def test_bound_address_may_differ_from_the_advertised_one(bind: Any, address: Any) -> None:
    assert Config(URL_A, Path('data'), bind=bind).address() == address


@pytest.mark.parametrize(
    'text', ['', 'ftp://a:1', 'http://', 'http://a:1/x', 'http://u:p@a:1', 'http://a:1/?q']
)
def test_url_that_names_no_node_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match='http://HOST:PORT'):
        node_url(text)


def test_secrets_are_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'token'
    path.write_text('swordfish\n')
    monkeypatch.setenv('CONSENSUAL_PEER_TOKEN', 'pike')
    secrets = Config(URL_A, tmp_path, token_file=path).secrets()
    assert (secrets.client, secrets.peer) == ('swordfish', 'pike')
    assert 'swordfish' not in repr(secrets)
    assert 'pike' not in repr(secrets)


@pytest.mark.parametrize('text', ['', ' \n', 'two words', 'swördfish', 'x' * 5000])
def test_token_that_is_none_is_refused_without_being_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / 'token'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(ConfigError) as caught:
        read_token(path, 'VARIABLE')
    assert not text.strip() or text not in str(caught.value)


def test_state_machine_is_made_by_a_factory() -> None:
    assert isinstance(load_state_machine('consensual.machines:KeyValueStore'), KeyValueStore)
    assert isinstance(load_state_machine('consensual.machines.lock:Lock'), Lock)
    for name, said in (
        ('consensual.machines', 'module:factory'),
        ('no.such:thing', 'cannot be imported'),
        ('consensual.machines:Nothing', "no callable 'Nothing'"),
    ):
        with pytest.raises(ConfigError, match=said):
            load_state_machine(name)


def test_certificates_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / 'ca.pem').write_text('no certificate')
    with pytest.raises(ConfigError, match=r'ca\.pem'):
        client_context(None, None, tmp_path / 'ca.pem')
