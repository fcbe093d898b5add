"""The Order Center: orders, and which of them are overdue."""
