"""The documented commands run as they stand there, and the installed wheel works: `make test-docs`."""
