"""The vocabulary: frozen models and row types without logic and without I/O.

What crosses a process boundary (workflow inputs and results, events, reports) is a frozen pydantic model, in `wire`.
Rows of which a chunk holds thousands are named tuples: they are made by the driver, read once and dropped. A `Table` is
such rows, held column by column.
"""
