"""The state machine of whole clusters: a short profile for every run, a long one on demand."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.machine import Clusters

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
"""An example is a whole life of a cluster: it takes long, and no failure hides behind that."""

SHORT = settings(
    max_examples=150,
    stateful_step_count=50,
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=SLOW,
)


def test_invariants_hold_whatever_happens_to_clusters() -> None:
    """Figure 3's properties and this library's promises, under faults; then liveness."""
    run_state_machine_as_test(Clusters, settings=SHORT)


@pytest.mark.long
def test_invariants_hold_for_long() -> None:
    """The same with more and longer lives, other ones each time."""
    long = settings(
        SHORT,
        max_examples=3000,
        stateful_step_count=60,
        derandomize=False,
        phases=[Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(Clusters, settings=long)
