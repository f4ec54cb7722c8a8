"""Conformance suites: subclass one to learn whether your storage or transport keeps its contract.

Names only. They need pytest and pytest-asyncio; nothing else of the testing kit imports them.
"""

from consensual.testing.conformance.storage import StorageConformance
from consensual.testing.conformance.transport import TransportConformance

__all__ = ['StorageConformance', 'TransportConformance']
