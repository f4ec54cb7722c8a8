"""The public API, tested from its contract: design §2 and §4, and the issue's list."""
