"""The Order Center: knows orders, finds the overdue ones."""
