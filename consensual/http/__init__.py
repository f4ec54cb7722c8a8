"""Nodes over HTTP: what operators and programs ask of a node, on aiohttp."""
