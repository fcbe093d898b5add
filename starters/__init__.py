"""What a person or a schedule runs: one module for each command, tied together by `cli`."""
