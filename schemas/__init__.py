"""The vocabulary: frozen models and row types, without logic or I/O.

Data that cross a process boundary (workflow inputs and results, events, reports) are frozen pydantic models in `wire`.
Rows of which a chunk has thousands are named tuples: the driver makes them, and they are read once and dropped. A
`Table` holds such rows column by column.
"""
