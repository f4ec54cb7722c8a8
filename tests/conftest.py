"""What every test of the suite needs: nothing is left behind by another one."""

import asyncio
import contextlib
import logging
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


@pytest.fixture(autouse=True)
def _give_logging_back() -> Iterator[None]:
    """`serve` and `demo` set it up for a process of their own."""
    root, ours = logging.getLogger(), logging.getLogger('consensual')
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
