"""Clusters of real processes, each with data of its own, and what befalls them."""
