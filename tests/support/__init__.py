"""What tests of several folders share: seeded orders, databases, servers between, processes, waits."""
