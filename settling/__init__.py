"""The use cases: all that decides what happens to money and orders. They know ports, and nothing else of the world."""
