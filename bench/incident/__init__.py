"""`make incident`: the morning that Settle was made for, lived through by the design that failed and by Settle."""
