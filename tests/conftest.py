"""What every test of the suite needs: no event loop is left behind by another one."""

import asyncio
import contextlib
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _close_the_current_loop() -> Iterator[None]:
    """Looptime's plugin makes a current loop for tests that need none, and nobody closes it."""
    yield
    with warnings.catch_warnings(), contextlib.suppress(RuntimeError):
        warnings.simplefilter('ignore', DeprecationWarning)
        loop = asyncio.get_event_loop_policy().get_event_loop()
        if not loop.is_running():
            loop.close()
            asyncio.set_event_loop(None)
