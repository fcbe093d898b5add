"""The use cases as Temporal calls them: payloads, heartbeats, and which failures are final.

Every activity may run twice, at once, and after it was thought dead.
"""
