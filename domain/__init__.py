"""Pure rules: no clock, no random, no I/O."""
