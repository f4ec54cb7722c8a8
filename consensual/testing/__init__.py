"""The testing kit's public names: what a user needs to test a replicated state machine.

Nothing is defined here. Neither Hypothesis nor pytest is needed to import it.
"""

from consensual.testing.history import History, outcome_of
from consensual.testing.linearizability import (
    Linearizable,
    Result,
    Undecided,
    Violation,
    check,
)
from consensual.testing.models import Counter, KeyValue, Lock, Model, Queue, Register
from consensual.testing.operation import (
    NotDone,
    Operation,
    Outcome,
    Raised,
    Returned,
    Unknown,
)

__all__ = [
    'History',
    'Operation',
    'Outcome',
    'NotDone',
    'Raised',
    'Returned',
    'Unknown',
    'outcome_of',
    'check',
    'Linearizable',
    'Result',
    'Undecided',
    'Violation',
    'Model',
    'Counter',
    'KeyValue',
    'Lock',
    'Queue',
    'Register',
]
