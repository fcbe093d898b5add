"""Durable, deterministic orchestration. Workflow code has no clock, no randomness and no I/O."""
