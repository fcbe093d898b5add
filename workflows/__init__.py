"""Durable, deterministic orchestration: no clock, no random, no I/O of its own."""
