"""The testing kit's public names: what a user needs to test a replicated state machine.

Nothing is defined here. Neither Hypothesis nor pytest is needed to import it: what
needs them is in `strategies`, `plugin` and `conformance`.
"""

from consensual.testing import faults
from consensual.testing.call import Call, Lost
from consensual.testing.clients import Ask, Clients
from consensual.testing.disk import Disk
from consensual.testing.history import History, outcome_of
from consensual.testing.linearizability import (
    Linearizable,
    Result,
    Undecided,
    Violation,
    check,
)
from consensual.testing.liveness import settle
from consensual.testing.models import Counter, KeyValue, Lock, Model, Queue, Register
from consensual.testing.nemesis import Blow, draw_schedule, play
from consensual.testing.network import Network, Noise
from consensual.testing.observer import Broken
from consensual.testing.operation import (
    NotDone,
    Operation,
    Outcome,
    Raised,
    Returned,
    Unknown,
)
from consensual.testing.process import Process
from consensual.testing.simulated_node import SimulatedNode
from consensual.testing.simulation import InvariantsBroken, Simulation
from consensual.testing.timeline import Stuck, Timeline
from consensual.testing.trace import Trace, TraceRecorder

__all__ = [
    # simulated clusters
    'Simulation',
    'SimulatedNode',
    'InvariantsBroken',
    'Broken',
    'Call',
    'Lost',
    'Disk',
    'Network',
    'Noise',
    'Process',
    'Timeline',
    'Stuck',
    # what befalls them
    'faults',
    'Blow',
    'draw_schedule',
    'play',
    'settle',
    'Ask',
    'Clients',
    # traces
    'Trace',
    'TraceRecorder',
    # histories
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
