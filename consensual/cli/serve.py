"""`serve`: one node of a cluster as a process, from its start to its orderly end.

What it is told is `config`; the network is `consensual.http`.
"""

import argparse
import asyncio
import json
import logging
import signal
import ssl
import sys
from contextlib import suppress
from pathlib import Path
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any, Optional

from consensual.cli.asking import (
    DONE,
    FAILED,
    MISUSED,
    AskingError,
    Members,
    reason,
    url_argument,
)
from consensual.cli.config import (
    DEFAULT_MACHINE,
    PEER_TOKEN_VARIABLE,
    TOKEN_VARIABLE,
    Config,
    ConfigError,
    Secrets,
    client_context,
    config_of,
    load_state_machine,
    server_context,
)
from consensual.raft import Node
from consensual.raft.errors import ConsensualError, StorageError

if TYPE_CHECKING:
    from consensual.http import Receiver

FILE = 'node.db'
"""Where in its folder a node keeps its data."""

JOIN_TIMEOUT, JOIN_PAUSE = 30.0, 0.5
"""Seconds that an attachment may take, and after which it is asked for again."""

DRAIN_TIMEOUT = 5.0
"""Seconds that the requests under way are waited for, at the end."""

logger = logging.getLogger('consensual')
FLAGS = (
    'url',
    'data_dir',
    'bind',
    'solo',
    'join',
    'state_machine',
    'heartbeat',
    'tls_cert',
    'tls_key',
    'tls_ca',
    'token_file',
    'peer_token_file',
    'insecure',
    'log_json',
)


def add_to(commands: Any) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        'serve',
        help='run a node of a cluster, with its data in a folder, until SIGTERM',
        description='Run a node. One port serves peers, clients and operators. SIGTERM or SIGINT '
        'hands leadership over and ends the process; membership is unchanged. Exits with 0 then, '
        'with 1 when the node fails, with 2 when it cannot begin.',
    )
    add = parser.add_argument
    add('--url', type=url_argument, help='where the others, and clients, find this node: its name')
    add('--data-dir', type=Path, metavar='DIR', help='the folder of its data, which is made')
    add('--bind', metavar='HOST:PORT', help='where to listen (default: as the URL says)')
    add(
        '--solo',
        action='store_const',
        const=True,
        help='found a cluster, if the data are empty; with --join, and if those are in none',
    )
    add(
        '--join',
        nargs='+',
        action='extend',
        type=url_argument,
        metavar='URL',
        help='members to ask for being attached, if the data are empty',
    )
    add(
        '--state-machine',
        metavar='MODULE:FACTORY',
        help=f'what makes the state machine (default: {DEFAULT_MACHINE})',
    )
    add('--heartbeat', type=float, metavar='S', help="seconds between a leader's messages (0.1)")
    _add_secrets(parser)
    add('--config', type=Path, metavar='FILE.toml', help='all these as a file; flags win')
    add(
        '--insecure',
        action='store_const',
        const=True,
        help='listen beyond this host without TLS or tokens',
    )
    add('--log-json', action='store_const', const=True, help='log a JSON object in each line')
    parser.set_defaults(run=run)


def _add_secrets(parser: Any) -> None:
    add = parser.add_argument
    add('--tls-cert', type=Path, metavar='FILE', help='certificate, for an https URL')
    add('--tls-key', type=Path, metavar='FILE', help='its key')
    add(
        '--tls-ca',
        type=Path,
        metavar='FILE',
        help='mutual TLS: whoever connects needs a certificate of this authority',
    )
    add(
        '--token-file',
        type=Path,
        metavar='FILE',
        help=f'token of clients and operators (default: the one in {TOKEN_VARIABLE}, if any)',
    )
    add(
        '--peer-token-file',
        type=Path,
        metavar='FILE',
        help=f'token of the nodes (default: the one in {PEER_TOKEN_VARIABLE}, if any)',
    )


def run(options: argparse.Namespace) -> int:
    """Serve; return the exit status."""
    try:
        config = config_of({name: _value(getattr(options, name)) for name in FLAGS}, options.config)
        secrets = config.secrets()
        machine = load_state_machine(config.state_machine)
    except ConfigError as error:
        print(f'serve: {error}', file=sys.stderr)
        return MISUSED
    set_up_logging(is_json=config.log_json)
    try:
        return asyncio.run(serve(config, secrets, machine))
    except (ConfigError, ConsensualError, OSError) as error:
        logger.error('cannot serve %s: %s', config.url, error)  # noqa: TRY400 - for operators
        return FAILED if isinstance(error, StorageError) else MISUSED
    except ImportError as error:
        print(f"serve: {error}: pip install 'consensual[http]'", file=sys.stderr)
        return MISUSED


def _value(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given


async def serve(config: Config, secrets: Secrets, machine: Any) -> int:
    """Run a node until a signal, or until it fails; return the exit status.

    Raises `ConfigError`, also for an address that is taken or a folder that cannot be made, and
    what the node raises when it starts.
    """
    from consensual.http import Sender  # noqa: PLC0415 - an extra
    from consensual.storage import SQLiteStorage  # noqa: PLC0415 - SQLite may be missing

    ending = asyncio.Event()
    _on_signals(ending)
    outgoing = _outgoing(config)
    _make_folder(config.data_dir)
    sender = Sender(config.url, ssl=outgoing, token=secrets.peer)
    node = Node.from_url(
        config.url,
        sender=sender,
        state_machine=machine,
        storage=SQLiteStorage(config.data_dir / FILE),
        heartbeat=config.heartbeat,
    )
    receiver = _receiver(node, config, secrets)
    async with sender, node:
        await _listen(receiver, config)
        host, port = config.address()
        logger.info('serving %s on %s:%s, data in %s', config.url, host, port, config.data_dir)
        founding = asyncio.create_task(_found(node, config, secrets, outgoing))
        try:
            await _ended(node, ending)
        finally:
            founding.cancel()
            await asyncio.gather(founding, return_exceptions=True)
            await _wind_up(node, receiver)
    failure = node.status.failure
    if failure is not None:
        logger.error('%s has failed: %s', config.url, failure)
        return FAILED
    logger.info('%s has stopped', config.url)
    return DONE


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f'data-dir {path}: {reason(error)}; name a folder that is there, or can be made'
        ) from error


def _receiver(node: Node, config: Config, secrets: Secrets) -> 'Receiver':
    from consensual.http import InsecureAddress, Receiver  # noqa: PLC0415 - an extra

    host, port = config.address()
    try:
        return Receiver(
            node,
            host=host,
            port=port,
            ssl=server_context(config),
            peer_token=secrets.peer,
            client_token=secrets.client,
            insecure=config.insecure,
        )
    except InsecureAddress as error:
        raise ConfigError(
            f'whoever reaches {host or "this machine"} could command the node: give '
            'peer-token-file and token-file, or tls-ca for mutual TLS; or mean it, by insecure'
        ) from error


async def _listen(receiver: 'Receiver', config: Config) -> None:
    try:
        await receiver.start()
    except OSError as error:
        host, port = config.address()
        raise ConfigError(
            f'cannot listen on {host}:{port}: {reason(error)}; name an address of this machine '
            'that is free, by bind or by url'
        ) from error


def _outgoing(config: Config) -> Optional[ssl.SSLContext]:
    if config.tls_cert is None:
        return None
    return client_context(config.tls_cert, config.tls_key, config.tls_ca)


def _on_signals(ending: asyncio.Event) -> None:
    """Have the first signal end it in order, the second at once."""
    loop = asyncio.get_running_loop()

    def end(number: signal.Signals) -> None:
        logger.info('%s: handing over and stopping', number.name)
        ending.set()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(name)

    for name in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows has none: there, the process just ends
            loop.add_signal_handler(name, end, name)


async def _ended(node: Node, ending: asyncio.Event) -> None:
    """Return when a signal came, or the node stopped by itself."""
    waiting = {asyncio.create_task(ending.wait()), asyncio.create_task(_stopped(node))}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _stopped(node: Node) -> None:
    async for _ in node.watch():
        pass


async def _wind_up(node: Node, receiver: 'Receiver') -> None:
    """Let another one lead while requests end, so that none of them fails; then stop."""
    status = node.status
    if status.role == 'leader' and len(status.voters) > 1:
        await node.transfer_leadership()  # if that fails, `stop` tries again, and tells
    await receiver.drain(DRAIN_TIMEOUT)
    await node.stop()
    await receiver.stop()


async def _found(
    node: Node, config: Config, secrets: Secrets, outgoing: Optional[ssl.SSLContext]
) -> None:
    """Found or join a cluster, if the node is empty."""
    status = node.status
    if status.cluster_id is not None or status.last_index or status.role != 'detached':
        return
    if not config.join:
        if config.solo:
            await _solo(node)
        return
    async with Members(config.join, token=secrets.client, context=outgoing) as members:
        if config.solo and await _are_in_no_cluster(node, members):
            await _solo(node)
        else:
            await _join(node, members)


async def _solo(node: Node) -> None:
    error = await node.solo()
    if error is not None:
        logger.error('%s cannot found a cluster: %s', node.url, error)


async def _are_in_no_cluster(node: Node, members: Members) -> bool:
    """Ask until all have said that they are in none, or one says that it is in one.

    Else a founder that lost its data would found another cluster beside the one that it founded.
    """
    said = ''
    while node.status.role == 'detached':
        try:
            for url in members.urls:
                if (await members.ask_one(url, 'GET', '/status'))['role'] != 'detached':
                    return False
        except AskingError as error:
            said = _warn_once(f'{node.url} founds no cluster yet: {error}', said)
        else:
            return True
        await asyncio.sleep(JOIN_PAUSE)
    return False


async def _join(node: Node, members: Members) -> None:
    """Ask the members, again and again, until the node is one of them."""
    said = ''
    while node.status.role == 'detached':
        try:
            await members.ask('POST', '/', [str(node.url)], timeout=JOIN_TIMEOUT)
        except AskingError as error:
            said = _warn_once(f'{node.url} is not attached yet: {error}', said)
        await asyncio.sleep(JOIN_PAUSE)
    logger.info('%s has joined the cluster %s', node.url, node.status.cluster_id)


def _warn_once(text: str, said: str) -> str:
    if text != said:
        logger.warning('%s', text)
    return text


def set_up_logging(*, is_json: bool) -> None:
    """Log to the standard error: text, or a JSON object in each line."""
    handler = logging.StreamHandler(sys.stderr)
    if is_json:
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(message)s'))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger('aiohttp.access').setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """Makes a JSON object, in one line, of each record; times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        seconds = strftime('%Y-%m-%dT%H:%M:%S', gmtime(record.created))
        fields = {
            'time': f'{seconds}.{int(record.msecs):03}Z',
            'level': record.levelname.lower(),
            'logger': record.name,
            'message': record.getMessage(),
        }
        if record.exc_info is not None:
            fields['exception'] = self.formatException(record.exc_info)
        return json.dumps(fields)
