"""Locks with leases and fencing tokens.

The rules of who holds what. How leases are kept, and end, is in `table`.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from consensual.machines.parameters import Index, Seconds, check_key, decode
from consensual.machines.table import Table
from consensual.raft.driver.ports import Context, Processor


class _Name(Struct, forbid_unknown_fields=True):
    name: str

    def __post_init__(self) -> None:
        check_key(self.name, 'name')


class _Acquire(_Name):
    owner: str
    ttl: Seconds

    def __post_init__(self) -> None:
        super().__post_init__()
        check_key(self.owner, 'owner')


class _Renew(_Name):
    token: Index
    ttl: Seconds


class _Release(_Name):
    token: Index


class Lock:
    """A StateMachine of locks by name. docs/machines.md tells all of it.

    Actions, and what they return:
        acquire {name, owner, ttl}: {acquired, owner, token, remaining}, of whoever has it now.
        renew {name, token, ttl}: {renewed}.
        release {name, token}: {released}.

    Query:
        holder {name}: {owner, token}, or None.

    A lock is held for `ttl` seconds of the cluster's own clock, unless it is renewed or
    released. A token is the log index of the command by which the lock was acquired, so it
    grows from holder to holder: let what the lock protects refuse a lower one than it saw.

    Names and owners are str of 1 to 1024 bytes of UTF-8. Parameters of another form raise
    `InvalidParameters` and change nothing. A query's now is the latest command's.

    processors, queries: by name, for a node.
    """

    def __init__(self) -> None:
        self.processors: Mapping[str, Processor] = {
            'acquire': self._acquire,
            'renew': self._renew,
            'release': self._release,
        }
        self.queries: Mapping[str, Processor] = {'holder': self._holder}
        self._table = Table()

    def __repr__(self) -> str:
        return f'Lock({self._table!r})'

    def snapshot(self) -> Any:
        """Return a copy of the state, of JSON types, that later commands do not change."""
        return self._table.snapshot()

    def restore(self, value: Any) -> None:
        """Become what a snapshot tells. Raises `InvalidParameters`, and changes nothing then."""
        self._table.restore(value)

    def reset(self) -> None:
        """Forget everything."""
        self._table = Table()

    def _acquire(self, parameters: Any, *, context: Context) -> Any:
        """Give the lock to whoever is first; its holder, who asks again, keeps his token."""
        wanted = decode('acquire', parameters, _Acquire)
        self._table.advance(context.time)
        token, owner = self._table.find(wanted.name) or (context.index, wanted.owner)
        is_acquired = owner == wanted.owner
        if is_acquired:
            self._table.write(wanted.name, owner, token, wanted.ttl)
        return {
            'acquired': is_acquired,
            'owner': owner,
            'token': token,
            'remaining': self._table.remaining(wanted.name),
        }

    def _renew(self, parameters: Any, *, context: Context) -> Any:
        wanted = decode('renew', parameters, _Renew)
        self._table.advance(context.time)
        token, owner = self._table.find(wanted.name) or (0, '')
        if token != wanted.token:
            return {'renewed': False}
        self._table.write(wanted.name, owner, token, wanted.ttl)
        return {'renewed': True}

    def _release(self, parameters: Any, *, context: Context) -> Any:
        wanted = decode('release', parameters, _Release)
        self._table.advance(context.time)
        token, _ = self._table.find(wanted.name) or (0, '')
        return {'released': token == wanted.token and self._table.delete(wanted.name)}

    def _holder(self, parameters: Any) -> Any:
        found = self._table.find(decode('holder', parameters, _Name).name)
        return None if found is None else {'owner': found[1], 'token': found[0]}
