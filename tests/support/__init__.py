"""Helpers for several test folders: seeded orders, databases, proxies, processes, waits."""
