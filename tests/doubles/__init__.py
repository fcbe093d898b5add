"""The ports in memory, for unit tests and the simulator; they pass the same contract tests as the real adapters."""
