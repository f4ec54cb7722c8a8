"""`python -m benchmarks NAME`."""

import sys

from benchmarks import durable, growth, machines, memory, network, simulator, snapshot

BENCHMARKS = {
    'durable': durable.main,
    'growth': growth.main,
    'machines': machines.main,
    'memory': memory.main,
    'network': network.main,
    'simulator': simulator.main,
    'snapshot': snapshot.main,
}

if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
    sys.exit(f'usage: python -m benchmarks {{{",".join(BENCHMARKS)}}} [options]')
sys.exit(BENCHMARKS[sys.argv[1]](sys.argv[2:]))
