"""Crashes: real processes under SIGKILL, and every write boundary of a script, simulated."""
