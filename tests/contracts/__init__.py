"""The contracts of storages and transports: one suite each, for every one that there is."""
