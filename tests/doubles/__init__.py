"""The ports in memory, for unit tests and the simulator; the contract suites hold them to the real ones."""
