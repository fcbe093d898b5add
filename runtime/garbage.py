"""How often a process that works on many rows at a time looks for garbage."""

import gc

# Python's own is 700.
_NEW_OBJECT_COUNT = 50_000


def collect_garbage_seldom() -> None:
    """Look for cycles only now and then, and never again among what the process was made of.

    A chunk's rows are ten thousands of tuples, which are freed without the collector; with its default pace it walks
    them again and again. Call this once everything is imported.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECT_COUNT, *gc.get_threshold()[1:])
