"""The Finance Center's own store: batches, items, claims, chunk states and exception items."""
