"""The storages beside their contract: what only one of them has."""
