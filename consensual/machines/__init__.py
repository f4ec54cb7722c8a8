"""Ready state machines: give one to a node as its `state_machine`.

Names only. Each is made of processors, queries, `snapshot`, `restore` and `reset`; none
knows what a node is.
"""

from consensual.machines.key_value import KeyValueStore
from consensual.machines.lock import Lock

__all__ = ['KeyValueStore', 'Lock']
