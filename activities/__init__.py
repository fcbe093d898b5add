"""The use cases as Temporal activities: payloads, heartbeats, and the choice of final failures.

Every activity may run twice, concurrently, and after Temporal considered it dead.
"""
