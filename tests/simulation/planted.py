"""`python -m tests.simulation.planted [NAME]`: run seeds with each planted bug until one fails, and say which."""

import asyncio
import itertools
import logging
import sys

from tests.simulation.planted_bugs import PLANTED_BUGS, planted
from tests.simulation.seeds import run_seeds, uses_postgres
from tests.simulation.simulator import SeedReport

SEED_COUNT_MAX = 500


def main() -> None:
    """Look for the first seed in memory that each bug is caught by; all bugs, or those whose name has the argument."""
    logging.disable()
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    missed = [name for name in PLANTED_BUGS if wanted in name and not _hunt(name)]
    sys.exit(1 if missed else 0)


def _hunt(name: str) -> bool:
    for seed in itertools.islice((seed for seed in itertools.count(1) if not uses_postgres(seed)), SEED_COUNT_MAX):
        faults = run_planted(name, seed).faults
        if faults:
            sys.stdout.write(f"{name}: caught by seed {seed}: {faults[0]}\n")
            sys.stdout.flush()
            return True
    sys.stdout.write(f"{name}: NOT CAUGHT by {SEED_COUNT_MAX} seeds\n")
    return False


def run_planted(name: str, seed: int) -> SeedReport:
    """Run one seed with a bug planted."""
    reports: list[SeedReport] = []
    with planted(name):
        asyncio.run(run_seeds([seed], None, reports.append))
    return reports[0]


if __name__ == "__main__":
    main()
