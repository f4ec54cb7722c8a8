"""The ready machines: alone, beside simple models, and in clusters under faults."""
