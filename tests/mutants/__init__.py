"""Mutants: Raft broken on purpose, one line at a time, each to be killed by the simulator.

`python -m tests.mutants` hunts them all and prints the table.
"""
