"""Thin: call a port, heartbeat, map errors. Every activity may run twice, at once, and after it was thought dead."""
