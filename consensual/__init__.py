"""Raft for asyncio: several copies of a program that agree. See `consensual.raft`."""

__version__ = '0.3.0-alpha'
