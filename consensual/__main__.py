"""`python -m consensual`."""

import sys

from consensual.cli import main

sys.exit(main(sys.argv[1:]))
