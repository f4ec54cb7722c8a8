"""What runs in a process of its own: lives of the library as it is found there, seed by seed.

Called with first seed, end of seeds, seconds; prints the first that is broken, as JSON.
"""

import json
import sys

from consensual.testing.soak import draw_plan, live


def find_broken(first: int, end: int, seconds: float) -> dict[str, object]:
    """Return the first seed at which an invariant is broken, and which; else nothing."""
    for seed in range(first, end):
        try:
            report = live(draw_plan(seed, seconds))
        except Exception as error:  # noqa: BLE001 - the simulation itself fell over it
            return {'seed': seed, 'invariant': 'crash', 'text': repr(error)}
        if report.broken:
            broken = report.broken[0]
            return {'seed': seed, 'invariant': broken.invariant, 'text': broken.text}
    return {}


if __name__ == '__main__':
    found = find_broken(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    sys.stdout.write(json.dumps(found))
