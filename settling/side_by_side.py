"""Running several pieces of work concurrently."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable


async def run_side_by_side(works: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Run all of them concurrently until they are done. The first error cancels the others and is raised once they end.

    Args:
        works: the functions to run. A function may be given several times, to take its work from a shared source.
    """
    tasks = [asyncio.ensure_future(work()) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
