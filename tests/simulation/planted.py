"""`python -m tests.simulation.planted [NAME]`: run seeds with each planted bug until one fails, and print that seed."""

import asyncio
import logging
import sys
from collections.abc import Iterable
from contextlib import aclosing

from tests.simulation.planted_bugs import PLANTED_BUGS, planted
from tests.simulation.seeds import run_seeds, uses_postgres
from tests.simulation.simulator import SeedReport

SEED_MAX = 500


def main() -> None:
    """Find the first in-memory seed that catches each bug. An argument selects the bugs whose name contains it."""
    logging.disable()
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    is_caught = [asyncio.run(_hunt(name)) for name in PLANTED_BUGS if wanted in name]
    sys.exit(0 if all(is_caught) else 1)


async def _hunt(name: str) -> bool:
    report = await find_catch(name, (seed for seed in range(1, SEED_MAX) if not uses_postgres(seed)))
    found = f"caught by seed {report.seed}: {report.faults[0]}" if report else f"NOT CAUGHT by seeds up to {SEED_MAX}"
    sys.stdout.write(f"{name}: {found}\n")
    sys.stdout.flush()
    return report is not None


async def find_catch(name: str, seeds: Iterable[int]) -> SeedReport | None:
    """Return the report of the first seed that fails with a bug planted, or None."""
    with planted(name):
        async with aclosing(run_seeds(seeds, None)) as reports:
            async for report in reports:
                if report.faults:
                    return report
    return None


if __name__ == "__main__":
    main()
