"""Doing the same work several times at once."""

import asyncio
from collections.abc import Awaitable, Callable


async def run_side_by_side(count: int, work: Callable[[], Awaitable[None]]) -> None:
    """Run so many of the same until all are done. The first error ends the others, and is raised once they have ended.

    Args:
        count: how many.
        work: one of them, which takes its next piece from where the others take theirs.
    """
    tasks = [asyncio.ensure_future(work()) for _ in range(count)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
