"""All mutants that the simulator kills, each within a stated number of seeds.

The lists by subject are in `elections`, `logs`, `members`, `services` and `snapshots`; what it
does not kill is in `survivors`, with the reason.
"""

from tests.mutants.elections import DURABLE, ELECTIONS
from tests.mutants.logs import LOGS
from tests.mutants.members import MEMBERS
from tests.mutants.services import SERVICES
from tests.mutants.snapshots import COMPACTED

MUTANTS = (*ELECTIONS, *DURABLE, *LOGS, *MEMBERS, *SERVICES, *COMPACTED)
