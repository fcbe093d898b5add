"""Use cases: every decision about money and orders. They reach other systems through ports only."""
