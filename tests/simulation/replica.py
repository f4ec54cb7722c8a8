"""One node of a simulated cluster, with all that stands around it."""

from typing import Optional

from consensual.raft import Node
from consensual.raft.core.log import Entry
from tests.simulation.disk import ObservedStorage
from tests.simulation.ledger import Ledger
from tests.simulation.network import NetworkSender


class Seen:
    """What was last seen of a node, in its present life."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """It was reset: it begins again."""
        self.role = 'detached'
        self.term = self.commit_index = self.applied_index = 0
        self.cluster_id: Optional[str] = None
        self.noted_commit = 0


class Replica:
    """A node from its start to its crash; restarted, it is another one.

    is_up: it did not crash.
    is_running: nor is it stopped.
    """

    node: Node
    ledger: Ledger

    def __init__(self, name: str, life: int, storage: ObservedStorage) -> None:
        self.name, self.life = name, life
        self.storage = storage
        self.sender: Optional[NetworkSender] = None
        self.is_up = self.is_running = True
        self.seen = Seen()
        self.leadership: Optional[tuple[tuple[str, int], list[Entry]]] = None

    def __repr__(self) -> str:
        return f'{self.name}/{self.life}'

    def cluster_id(self) -> str:
        """Return the id of its cluster, '' when it has none."""
        return self.node.status.cluster_id or ''
