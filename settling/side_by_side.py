"""Doing several pieces of work at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable


async def run_side_by_side(works: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Run all until they are done. The first error ends the others, and is raised once they have ended.

    Args:
        works: what to run. One that comes several times takes its next piece from where the others take theirs.
    """
    tasks = [asyncio.ensure_future(work()) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
