"""The driver: asyncio, timers, futures, the order of writes; no Raft rule."""
