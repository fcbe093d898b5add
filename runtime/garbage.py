"""The pace of the garbage collector in processes that hold many rows."""

import gc

# Python's default is 700.
_NEW_OBJECT_COUNT = 50_000


def collect_garbage_seldom() -> None:
    """Run the garbage collector rarely, and never over the objects that exist now.

    A chunk's rows are tens of thousands of tuples, which are freed without the collector. At its default pace it would
    traverse them again and again. Call this after all imports.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECT_COUNT, *gc.get_threshold()[1:])
