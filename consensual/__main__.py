"""`python -m consensual`."""

import sys

from consensual.cli import script

sys.exit(script())
