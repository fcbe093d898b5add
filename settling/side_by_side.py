"""Running several pieces of work concurrently."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable


async def run_side_by_side(works: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Run all works concurrently until they end. The first error cancels the others and is raised once they have ended.

    Args:
        works: the functions to run. To run several consumers of a shared source, give the same function several times.
    """
    tasks = [asyncio.ensure_future(work()) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
