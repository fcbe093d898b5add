"""The Fund Platform: keeps virtual accounts in a double-entry ledger and credits them."""
