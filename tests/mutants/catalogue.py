"""All mutants that are killed: by the simulator within a stated number of seeds, or by a test.

The lists by subject are in the modules imported here; what the simulator should kill and
does not is in `survivors`, with the reason.
"""

from tests.mutants.compaction import SENDING, TAKING
from tests.mutants.elections import DURABLE, ELECTIONS
from tests.mutants.installing import INSTALLING, RESTORING
from tests.mutants.logs import LOGS
from tests.mutants.lost import LOST
from tests.mutants.members import MEMBERS
from tests.mutants.outcomes import OUTCOMES
from tests.mutants.services import SERVICES
from tests.mutants.snapshots import COMPACTED

MUTANTS = (*ELECTIONS, *DURABLE, *LOGS, *MEMBERS, *SERVICES, *COMPACTED)
TESTED = (*TAKING, *SENDING, *INSTALLING, *RESTORING, *LOST, *OUTCOMES)
