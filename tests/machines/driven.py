"""A machine driven by hand: commands with an index and a time, as a node would apply them.

Public names of a machine only; no expectations.
"""

import json
from typing import Any

from consensual.raft import Context


class Driven:
    """A machine, the index of its latest command, and the cluster's time."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine
        self.index = 0
        self.time = 0.0

    def __getattr__(self, name: str) -> Any:
        """Return what does an action or asks a query, with the fields of its parameters."""
        if name in self.machine.processors:
            return lambda **parameters: self.do(name, parameters)
        if name in self.machine.queries:
            return lambda **parameters: self.machine.queries[name](parameters)
        raise AttributeError(name)

    def do(self, action: str, parameters: Any) -> Any:
        """Apply a command; like a node, give it a copy of its own of the parameters."""
        self.index += 1
        context = Context(self.index, 1, self.time)
        return self.machine.processors[action](json.loads(json.dumps(parameters)), context=context)

    def wait(self, seconds: float) -> None:
        """Let the cluster's time pass: the next command sees it."""
        self.time += seconds

    def copy(self, machine: Any) -> 'Driven':
        """Let another machine go on from a snapshot, which was stored and read meanwhile."""
        machine.restore(json.loads(json.dumps(self.machine.snapshot())))
        other = Driven(machine)
        other.index, other.time = self.index, self.time
        return other
