"""The demo and the measurements; nothing that ships imports this."""
