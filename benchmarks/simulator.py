"""How fast the simulator is: node-seconds of virtual time per second of real time.

A five-node cluster under light load: two commands a second, no faults.
"""

import argparse
from collections.abc import Sequence
from time import perf_counter

from consensual.testing import Simulation
from consensual.testing.soak import Store

NODES = 5
RUNS = {
    'neither invariants nor trace': {'is_watched': False, 'is_traced': False},
    'trace': {'is_watched': False, 'is_traced': True},
    'invariants': {'is_watched': True, 'is_traced': False},
    'invariants and trace': {'is_watched': True, 'is_traced': True},
}


def main(arguments: Sequence[str]) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks simulator', description=__doc__)
    parser.add_argument('--seconds', type=float, default=100.0, help='of virtual time (100)')
    parser.add_argument('--repeat', type=int, default=3, help='runs, of which the median counts')
    options = parser.parse_args(arguments)
    print('| with | node-seconds a second |\n|---|---:|')
    for name, switches in RUNS.items():
        speeds = sorted(measure(options.seconds, **switches) for _ in range(options.repeat))
        print(f'| {name} | {speeds[len(speeds) // 2]:,.0f} |')


def measure(seconds: float, **switches: bool) -> float:
    """Return node-seconds per second."""
    with Simulation(Store, seed=1, **switches) as simulation:
        simulation.found(NODES)
        end, begun = simulation.now + seconds, perf_counter()
        while simulation.now < end:
            simulation['n1'].execute('put', ['a', 1])
            simulation.run(0.5)
        return NODES * seconds / (perf_counter() - begun)
