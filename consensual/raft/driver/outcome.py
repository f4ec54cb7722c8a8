"""What became of a command."""

from collections.abc import Callable
from typing import Any, Optional

from consensual.raft.errors import ConsensualError


class Outcome:
    """What became of a command: a value, or the error that its caller is given."""

    __slots__ = 'error', 'value'

    def __init__(self, value: Any, error: Optional[ConsensualError] = None) -> None:
        self.value, self.error = value, error


def text_of(error: BaseException, show: Callable[[BaseException], str] = repr) -> str:
    """Return what an exception says, as text that can be stored and sent, whatever it is.

    One that cannot be had is no reason to stop.
    """
    try:
        return sendable(show(error))
    except Exception:  # noqa: BLE001 - the user's
        return type(error).__name__


def sendable(text: str) -> str:
    """Return the text with what UTF-8 does not have written out."""
    return text.encode('utf-8', 'backslashreplace').decode()
