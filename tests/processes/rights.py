"""What this process may do to the system; root may do little in a container, as a rule."""

from pathlib import Path

NET_ADMIN, SYS_ADMIN = 12, 21
"""Capabilities of Linux, by their bits: to change networks, and to mount."""

STATUS = Path('/proc/self/status')


def missing(*needed: int) -> str:
    """Return why a test that needs these capabilities is skipped, '' where all are there."""
    lines = STATUS.read_text(encoding='ascii').splitlines() if STATUS.exists() else []
    masks = [int(line.split()[1], 16) for line in lines if line.startswith('CapEff:')]
    if masks and all(masks[0] >> bit & 1 for bit in needed):
        return ''
    return 'the tests may not change networks or mounts: on Linux, root may, outside of containers'
