"""What became of a command."""

from typing import Any, Optional

from consensual.raft.errors import ConsensualError


class Outcome:
    """What became of a command: a value, or the error that its caller is given."""

    __slots__ = 'error', 'value'

    def __init__(self, value: Any, error: Optional[ConsensualError] = None) -> None:
        self.value, self.error = value, error
