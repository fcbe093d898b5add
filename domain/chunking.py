"""Chunk ranges: chunk i holds the items [i * chunk_size, (i + 1) * chunk_size), cut at the batch's end."""


def chunk_count_of(item_count: int, chunk_size: int) -> int:
    """Return how many chunks cover `item_count` items."""
    return -(-item_count // chunk_size)


def chunk_range(chunk_index: int, item_count: int, chunk_size: int) -> range:
    """Return the item numbers of one chunk."""
    start = chunk_index * chunk_size
    return range(start, min(start + chunk_size, item_count))
