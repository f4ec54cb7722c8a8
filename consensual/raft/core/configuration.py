"""Who is in the cluster: members, and the configurations that name them (§6).

The nouns only; how one configuration follows another is `membership`.
"""

from typing import Optional

from msgspec import Struct

NodeId = str
"""A node's name: the authority of its URL, e.g. ``'localhost:6000'``."""

Incarnation = str
"""Names one life of a node's storage; a reset or a lost memory begins another."""


class Address(Struct, frozen=True, array_like=True, gc=False):
    """Where a node is to be found."""

    id: NodeId
    url: str


class Member(Struct, frozen=True, array_like=True, gc=False):
    """One incarnation of a node, as a configuration records it."""

    id: NodeId
    url: str
    incarnation: Incarnation


Electorate = tuple[tuple[Member, ...], ...]
"""The groups of voters that must each agree by majority: one, or two while joint."""


class Configuration(Struct, frozen=True, array_like=True, gc=False):
    """The members at some index of the log (§6).

    `outgoing` holds the voters of C_old while C_old,new is in force; `voters`
    then holds those of C_new. Learners receive the log and decide nothing
    (thesis §4.2.1).
    """

    voters: tuple[Member, ...] = ()
    outgoing: tuple[Member, ...] = ()
    learners: tuple[Member, ...] = ()

    @property
    def is_joint(self) -> bool:
        """True while both majorities decide."""
        return bool(self.outgoing)

    @property
    def is_stable(self) -> bool:
        """True when no change is under way."""
        return not self.outgoing and not self.learners

    @property
    def electorate(self) -> Electorate:
        """The groups whose majorities decide."""
        return (self.voters, self.outgoing) if self.outgoing else (self.voters,)

    @property
    def electors(self) -> tuple[Member, ...]:
        """Everyone who votes, each once."""
        return tuple(dict.fromkeys(self.voters + self.outgoing))

    @property
    def members(self) -> tuple[Member, ...]:
        """Everyone who receives the log, each once."""
        return tuple(dict.fromkeys(self.voters + self.outgoing + self.learners))

    def find(self, node_id: NodeId) -> Optional[Member]:
        """Return the member of that name, or None."""
        return next((member for member in self.members if member.id == node_id), None)

    def is_voter(self, member: Member) -> bool:
        """Tell whether this very incarnation votes, in either majority."""
        return member in self.voters or member in self.outgoing
