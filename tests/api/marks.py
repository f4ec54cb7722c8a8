"""How asynchronous tests run: in virtual time, and never for ever."""

import pytest

in_virtual_time = [pytest.mark.asyncio, pytest.mark.looptime(end=900, idle_timeout=2)]
"""Minutes pass in milliseconds; a test that hangs fails after a quarter of an hour."""
