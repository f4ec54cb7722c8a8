"""The key-value store: values by key, with versions, compare-and-set and expiry.

The rules of its actions and queries. How entries are kept, and expire, is in `table`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Optional, Union

from msgspec import UNSET, Meta, Struct, UnsetType

from consensual.machines.parameters import Index, Seconds, check_key, decode
from consensual.machines.table import Entry, Table
from consensual.raft.driver.ports import Context, Processor

RANGE_DEFAULT, RANGE_LIMIT = 1000, 10_000
"""Items that a range holds at most, unless told otherwise; and however it is told."""

RANGE_SIZE = 1 << 20
"""Characters of JSON text in a range's items; the one that goes beyond is the last one."""


class _Key(Struct, forbid_unknown_fields=True):
    key: str

    def __post_init__(self) -> None:
        check_key(self.key)


class _Put(_Key):
    value: Any
    ttl: Optional[Seconds] = None


class _Cas(_Key):
    value: Any
    expected: Any = UNSET
    version: Union[Index, UnsetType] = UNSET
    ttl: Optional[Seconds] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.expected is UNSET) is (self.version is UNSET):
            raise ValueError(
                'give either `expected` (a value; null for a key that must not exist) '
                'or `version`, and not both'
            )


class _Range(Struct, forbid_unknown_fields=True):
    prefix: str
    after: str = ''
    limit: Annotated[int, Meta(ge=1, le=RANGE_LIMIT)] = RANGE_DEFAULT


class KeyValueStore:
    """A StateMachine of values by key. docs/machines.md tells all of it.

    Actions, and what they return:
        put {key, value, ttl?}: {version}.
        delete {key}: {deleted}.
        cas {key, value, expected | version, ttl?}: {succeeded, version}.

    Queries:
        get {key}: {value, version}, or None.
        range {prefix, after?, limit?}: {items: [{key, value, version}], more}.

    A key is a str of 1 to 1024 bytes of UTF-8, a value whatever JSON can carry, a version the
    log index of the command that wrote the value. ttl is in seconds of the cluster's own
    clock; a write without one clears an earlier one. A query's now is the latest command's.

    Parameters of another form raise `InvalidParameters` and change nothing: the caller of
    an action is given `ProcessorFailed`, that of a query the error itself.

    processors, queries: by name, for a node.
    """

    def __init__(self) -> None:
        self.processors: Mapping[str, Processor] = {
            'put': self._put,
            'delete': self._delete,
            'cas': self._cas,
        }
        self.queries: Mapping[str, Processor] = {'get': self._get, 'range': self._range}
        self._table = Table()

    def __repr__(self) -> str:
        return f'KeyValueStore({self._table!r})'

    def snapshot(self) -> Any:
        """Return a copy of the state, of JSON types, that later commands do not change.

        It takes some milliseconds for 100,000 keys.
        """
        return self._table.snapshot()

    def restore(self, value: Any) -> None:
        """Become what a snapshot tells. Raises `InvalidParameters`, and changes nothing then."""
        self._table.restore(value)

    def reset(self) -> None:
        """Forget everything."""
        self._table = Table()

    # actions

    def _put(self, parameters: Any, *, context: Context) -> Any:
        wanted = decode('put', parameters, _Put)
        self._table.advance(context.time)
        self._table.write(wanted.key, wanted.value, context.index, wanted.ttl)
        return {'version': context.index}

    def _delete(self, parameters: Any, *, context: Context) -> Any:
        wanted = decode('delete', parameters, _Key)
        self._table.advance(context.time)
        return {'deleted': self._table.delete(wanted.key)}

    def _cas(self, parameters: Any, *, context: Context) -> Any:
        wanted = decode('cas', parameters, _Cas)
        self._table.advance(context.time)
        found = self._table.find(wanted.key)
        if not _is_as_expected(found, wanted):
            return {'succeeded': False, 'version': None if found is None else found[0]}
        self._table.write(wanted.key, wanted.value, context.index, wanted.ttl)
        return {'succeeded': True, 'version': context.index}

    # queries

    def _get(self, parameters: Any) -> Any:
        found = self._table.find(decode('get', parameters, _Key).key)
        if found is None:
            return None
        version, value = found
        return {'value': value, 'version': version}

    def _range(self, parameters: Any) -> Any:
        wanted = decode('range', parameters, _Range)
        just_after = wanted.after and wanted.after + '\0'
        items: list[Any] = []
        size = 0
        for key, (version, value), length in self._table.scan(max(wanted.prefix, just_after)):
            if not key.startswith(wanted.prefix):
                break
            if len(items) == wanted.limit or size > RANGE_SIZE:
                return {'items': items, 'more': True}
            items.append({'key': key, 'value': value, 'version': version})
            size += length
        return {'items': items, 'more': False}


def _is_as_expected(found: Optional[Entry], wanted: _Cas) -> bool:
    if found is None:
        return wanted.expected is None
    version, value = found
    if wanted.expected is UNSET:
        return version == wanted.version
    return wanted.expected is not None and is_same_json(value, wanted.expected)


def is_same_json(one: Any, other: Any) -> bool:
    """Compare as JSON does (RFC 6902 §4.6): numbers by what they amount to, objects unordered.

    Unlike Python, for which true is 1.
    """
    return bool(one == other) and _has_same_booleans(one, other)


def _has_same_booleans(one: Any, equal: Any) -> bool:
    if isinstance(one, dict):
        return all(_has_same_booleans(item, equal[key]) for key, item in one.items())
    if isinstance(one, list):
        return all(map(_has_same_booleans, one, equal))
    return isinstance(one, bool) is isinstance(equal, bool)
