"""What `make bench` holds side by side: each settles all overdue orders of a database and returns the seconds."""
