"""Pure rules, without a clock, randomness or I/O."""
