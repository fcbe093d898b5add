"""The commands of `settle`, a module for each command or group of commands. `cli` assembles them."""
