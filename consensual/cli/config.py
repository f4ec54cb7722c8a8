"""What `serve` is told: by flags, by a TOML file, and secrets by files or the environment.

Nothing is started here. A flag wins against the file.
"""

import importlib
import inspect
import os
import re
import ssl
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Optional

from yarl import URL

TOKEN_VARIABLE, PEER_TOKEN_VARIABLE = 'CONSENSUAL_TOKEN', 'CONSENSUAL_PEER_TOKEN'
DEFAULT_MACHINE = 'consensual.machines:KeyValueStore'
TOKEN_LIMIT = 4096
"""Characters of a token."""


class ConfigError(Exception):
    """What was given cannot be served with; the text says why, and what to do."""


@dataclass(frozen=True)
class Secrets:
    """The tokens, each None where it is not asked for; never shown."""

    client: Optional[str] = field(default=None, repr=False)
    peer: Optional[str] = field(default=None, repr=False)


@dataclass(frozen=True)
class Config:
    """How one node is served. The names are those of the flags.

    url: under which the others, and clients, find it; its name.
    data_dir: the folder of its data, which is made.
    bind: HOST:PORT to listen on, :PORT for every address; by default that of the URL.
    solo, join: whether it founds a cluster, or which members it asks to be attached by; with
        both it founds one once all of them say that they are in none, and else joins theirs.
        Only while its data are empty.
    heartbeat: seconds.
    token_file, peer_token_file: with the token of clients and operators, and that of peers.
    """

    url: URL
    data_dir: Path
    bind: Optional[str] = None
    solo: bool = False
    join: tuple[URL, ...] = ()
    state_machine: str = DEFAULT_MACHINE
    heartbeat: float = 0.1
    tls_cert: Optional[Path] = None
    tls_key: Optional[Path] = None
    tls_ca: Optional[Path] = None
    token_file: Optional[Path] = None
    peer_token_file: Optional[Path] = None
    insecure: bool = False
    log_json: bool = False

    def __post_init__(self) -> None:
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise ConfigError('a certificate needs its key: give tls-cert and tls-key, or neither')
        if self.tls_ca is not None and self.tls_cert is None:
            raise ConfigError('tls-ca is for mutual TLS: give tls-cert and tls-key, too')
        if (self.url.scheme == 'https') is not (self.tls_cert is not None):
            raise ConfigError(
                f'{self.url}: with a certificate the URL is https://…, without one it is http://…'
            )
        if not self.heartbeat > 0:
            raise ConfigError(f'heartbeat is a number of seconds above 0, not {self.heartbeat}')
        self.address()

    def address(self) -> tuple[str, int]:
        """Return host and port to listen on. Raises `ConfigError`."""
        if self.bind is None:
            return self.url.host or '', self.url.port or 0
        found = re.fullmatch(r'(\[[^\]]+\]|[^\[\]:]*):(\d{1,5})', self.bind)
        if found is None or int(found[2]) > 65535:
            raise ConfigError(f'bind is HOST:PORT, like 0.0.0.0:8000, not {self.bind!r}')
        return found[1].strip('[]'), int(found[2])

    def secrets(self) -> Secrets:
        """Read the tokens. Raises `ConfigError`."""
        return Secrets(
            read_token(self.token_file, TOKEN_VARIABLE),
            read_token(self.peer_token_file, PEER_TOKEN_VARIABLE),
        )


def read_token(path: Optional[Path], variable: str) -> Optional[str]:
    """Return the token in the file, else that in the environment; None without either.

    Raises `ConfigError`, which does not tell what was read.
    """
    if path is not None:
        source = str(path)
        try:
            text = path.read_text(encoding='ascii').strip()
        except OSError as error:
            raise ConfigError(f'{path}: {error.strerror}') from error
        except UnicodeDecodeError:
            raise ConfigError(f'{path}: a token is made of printable ASCII characters') from None
    else:
        source = variable
        text = os.environ.get(variable, '').strip()
        if not text:
            return None
    if not text or len(text) > TOKEN_LIMIT or not re.fullmatch(r'[!-~]+', text):
        raise ConfigError(
            f'{source}: a token is one word of printable ASCII characters, up to {TOKEN_LIMIT}'
        )
    return text


def config_of(flags: Mapping[str, Any], path: Optional[Path]) -> Config:
    """Return the configuration from flags (None or missing: not given) and a file.

    Raises `ConfigError`.
    """
    given = {} if path is None else read_file(path)
    flags = {name: value for name, value in flags.items() if value is not None}
    if flags.get('solo') or flags.get('join'):  # one of them on the command line replaces both
        given.pop('solo', None)
        given.pop('join', None)
    given |= flags
    for name in ('url', 'data_dir'):
        if name not in given:
            raise ConfigError(f'{_spelled(name)} is missing: give it as a flag, or in the file')
    return Config(**given)


def read_file(path: Path) -> dict[str, Any]:
    """Return what a TOML file says. Relative paths in it are relative to its folder.

    Raises `ConfigError`.
    """
    try:
        table = tomllib.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise ConfigError(f'{path}: {error.strerror}') from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f'{path}: not TOML: {error}') from error
    kinds = _kinds(path.parent)
    given = {}
    for key, value in table.items():
        name = key.replace('-', '_')
        if name not in kinds or '_' in key:
            known = ', '.join(sorted(map(_spelled, kinds)))
            raise ConfigError(f'{path}: {key!r} is no setting; there are {known}')
        try:
            given[name] = kinds[name](value)
        except (TypeError, ValueError) as error:
            raise ConfigError(f'{path}: {key}: {error}') from error
    return given


def _kinds(folder: Path) -> dict[str, Callable[[Any], Any]]:
    """Return how each setting is read, and by that what it may be."""
    kinds: dict[str, Callable[[Any], Any]] = {}
    for item in fields(Config):
        match item.name:
            case 'url':
                kinds[item.name] = node_url
            case 'join':
                kinds[item.name] = _urls
            case 'solo' | 'insecure' | 'log_json':
                kinds[item.name] = _flag
            case 'heartbeat':
                kinds[item.name] = _number
            case 'bind' | 'state_machine':
                kinds[item.name] = _text
            case _:
                kinds[item.name] = lambda value: folder / _text(value)
    return kinds


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f'a string is needed, not {value!r}')
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f'true or false is needed, not {value!r}')
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f'a number is needed, not {value!r}')
    return float(value)


def _urls(value: Any) -> tuple[URL, ...]:
    if not isinstance(value, list):
        raise TypeError(f'a list of URLs is needed, not {value!r}')
    return tuple(map(node_url, value))


def node_url(text: Any) -> URL:
    """Return the URL of a node, which is all scheme, host and port. Raises `ValueError`."""
    url = URL(_text(text))
    if url.scheme not in ('http', 'https') or not url.host or url.raw_path not in ('', '/'):
        raise ValueError(f'{text!r} is not of the form http://HOST:PORT')
    if url.user or url.password or url.query_string or url.fragment:
        raise ValueError(f'{text!r} has more in it than http://HOST:PORT')
    return url


def load_state_machine(name: str) -> Any:
    """Return what the factory `module:name` makes. Raises `ConfigError`.

    What the factory raises passes through.
    """
    module_name, _, attribute = name.partition(':')
    if not module_name or not attribute:
        raise ConfigError(f'a state machine is given as module:factory, not {name!r}')
    try:
        factory: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f'{module_name} cannot be imported: {error}') from error
    for part in attribute.split('.'):
        factory = getattr(factory, part, None)
    if not callable(factory):
        raise ConfigError(f'{module_name} has no callable {attribute!r}')
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise ConfigError(
            f'{name} is called without arguments, which it refuses: {error}'
        ) from None
    except ValueError:  # a builtin without a signature
        pass
    return factory()


def server_context(config: Config) -> Optional[ssl.SSLContext]:
    """Return how the node takes connections: None without TLS.

    With `tls_ca`, whoever connects needs a certificate of that authority.
    Raises `ConfigError`.
    """
    if config.tls_cert is None or config.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load(context, config.tls_cert, config.tls_key, config.tls_ca)
    if config.tls_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    cert: Optional[Path], key: Optional[Path], authority: Optional[Path]
) -> ssl.SSLContext:
    """Return how connections to nodes are made; without an authority, the system's are trusted.

    Raises `ConfigError`.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    _load(context, cert, key, authority)
    return context


def _load(
    context: ssl.SSLContext, cert: Optional[Path], key: Optional[Path], authority: Optional[Path]
) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    names = ', '.join(str(path) for path in (cert, key, authority) if path is not None)
    try:
        if cert is not None:
            context.load_cert_chain(cert, key, password=_no_password)
        if authority is not None:
            context.load_verify_locations(authority)
    except (OSError, ValueError) as error:
        raise ConfigError(f'TLS cannot be had with {names}: {error}') from error


def _no_password() -> str:
    raise ValueError('the key is encrypted, and there is nobody to ask for its password')


def _spelled(name: str) -> str:
    return name.replace('_', '-')
