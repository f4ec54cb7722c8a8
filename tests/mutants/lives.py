"""Lives of the library as this process finds it, seed after seed, until one breaks something.

A script, run by `hunt` with a broken copy of the library on its path: it imports nothing else.
"""

import json
import sys

from consensual.testing.soak import draw_plan, live


def find_broken(seeds: int, seconds: float) -> dict[str, object]:
    """Return the first seed at which an invariant is broken, and which; else nothing."""
    for seed in range(seeds):
        try:
            report = live(draw_plan(seed, seconds))
        except Exception as error:  # noqa: BLE001 - the simulation itself fell over it
            return {'seed': seed, 'invariant': 'crash', 'text': repr(error)}
        if report.broken:
            broken = report.broken[0]
            return {'seed': seed, 'invariant': broken.invariant, 'text': broken.text}
    return {}


if __name__ == '__main__':
    found = find_broken(int(sys.argv[1]), float(sys.argv[2]))
    sys.stdout.write(json.dumps(found))
