"""Settings, connections, and the only module that picks adapters."""
