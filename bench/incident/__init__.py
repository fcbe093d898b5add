"""`make incident`: replay the incident that Settle was made for, with the design that failed and with Settle."""
