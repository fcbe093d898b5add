"""Settings, connections and the one place that picks adapters."""
