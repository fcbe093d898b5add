"""The Fund Platform: virtual accounts, their credits and a double-entry ledger."""
