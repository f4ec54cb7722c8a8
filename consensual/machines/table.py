"""A table whose entries may expire: what the machines keep their state in.

Knows time as the commands tell it; no clock, and no rule of any machine.
"""

from collections.abc import Iterator
from typing import Any, Optional

import msgspec

from consensual.machines.expiries import Expiries
from consensual.machines.sorted_keys import SortedKeys
from consensual.raft.errors import InvalidParameters

REMOVED_AT_ONCE = 64
"""Expired entries that one command removes at most."""

Entry = tuple[int, Any]
"""The log index at which a value was written, and the value."""

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


class Table:
    """Values by key, as of an instant.

    A record is an entry's JSON text: whoever reads a value is given a copy of his own, and
    a snapshot of all of them is one copy of one dict.

    What has expired is absent. Its record is removed later, a few with each command: that
    is bookkeeping, and shows nowhere.

    time: seconds of the cluster's own clock, as of the latest command.
    """

    def __init__(self) -> None:
        self.time = 0.0
        self._records: dict[str, str] = {}
        self._expiries = Expiries()
        self._order: Optional[SortedKeys] = SortedKeys()

    def __repr__(self) -> str:
        return f'Table({len(self._records)} records at {self.time:.3f} s)'

    def advance(self, time: float) -> None:
        """Let it be that instant, the present command's."""
        self.time = time
        for key in self._expiries.take(time, REMOVED_AT_ONCE):
            self._remove(key)

    def find(self, key: str) -> Optional[Entry]:
        """Return the entry of a key, None where there is none."""
        record = self._records.get(key)
        if record is None or self._expiries.is_over(key, self.time):
            return None
        return _decoder.decode(record)

    def remaining(self, key: str) -> Optional[float]:
        """Return the seconds that a key has left, None where that is for good."""
        expires_at = self._expiries.instants.get(key)
        return None if expires_at is None else expires_at - self.time

    def write(self, key: str, value: Any, index: int, ttl: Optional[float]) -> None:
        """Put a value in, for `ttl` seconds from now or, where that is None, for good."""
        record = _encode((index, value)).decode()
        if self._order is not None and key not in self._records:
            self._order.add(key)
        self._records[key] = record
        if ttl is None:
            self._expiries.discard(key)
        else:
            self._expiries.put(key, self.time + ttl)

    def delete(self, key: str) -> bool:
        """Take a key out; tell whether it was there."""
        if key not in self._records:
            return False
        was_there = not self._expiries.is_over(key, self.time)
        self._expiries.discard(key)
        self._remove(key)
        return was_there

    def scan(self, low: str) -> Iterator[tuple[str, Entry, int]]:
        """Yield keys from `low` on, in order, with their entries and the length of their text."""
        if self._order is None:
            self._order = SortedKeys(self._records)
        for key in self._order.starting_at(low):
            if not self._expiries.is_over(key, self.time):
                record = self._records[key]
                yield key, _decoder.decode(record), len(record)

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of JSON types, in which nothing has expired."""
        records, expiries = dict(self._records), dict(self._expiries.instants)
        for key in self._expiries.all_over(self.time):
            del records[key], expiries[key]
        return {'time': self.time, 'records': records, 'expiries': expiries}

    def restore(self, value: Any) -> None:
        """Become what a snapshot tells. Raises `InvalidParameters` for what is none.

        The order of the keys is made when it is first needed.
        """
        if not _is_snapshot(value):
            raise InvalidParameters(
                'this is no snapshot of such a machine, which is {time, records, expiries}: '
                'give it to a machine of the kind that made it'
            )
        self.time, self._records = value['time'], dict(value['records'])
        self._expiries = Expiries(dict(value['expiries']))
        self._order = None

    def _remove(self, key: str) -> None:
        del self._records[key]
        if self._order is not None:
            self._order.remove(key)


def _is_snapshot(value: Any) -> bool:
    match value:
        case {'time': float(), 'records': dict(records), 'expiries': dict(expiries), **others}:
            texts, instants = map(type, records.values()), map(type, expiries.values())
            return not others and {*texts} <= {str} and {*instants} <= {float}
    return False
