"""Contestants of `make bench`. Each settles all overdue orders of a database and returns the seconds that it took."""
