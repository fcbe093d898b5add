"""`make simulate`: run seeds of the simulator and print a line for each. Exits with 1 if one fails."""

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from datetime import UTC, datetime

from tests.simulation.seeds import run_share, uses_postgres
from tests.simulation.servers import postgresql_server
from tests.simulation.simulator import SeedReport

PROCESS_COUNT = 2
# Seeds per test server. A server keeps all histories in memory.
SEED_COUNT_AT_A_TIME = 10


def main() -> None:
    """Run the requested seeds."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, required=True, help="number of seeds")
    parser.add_argument("--seed", type=int, default=seed_of(datetime.now(UTC)), help="first seed (default: by date)")
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    sys.stdout.write(f"Seeds {seeds.start} to {seeds.stop - 1}.\n")
    sys.stdout.flush()
    started_s = time.monotonic()
    with postgresql_server() if any(map(uses_postgres, seeds)) else nullcontext() as database_url:
        reports = _run_all(seeds, database_url)
    _say_result(reports, time.monotonic() - started_s)
    sys.exit(1 if any(report.faults for report in reports) else 0)


def seed_of(today: datetime) -> int:
    """Return the first seed of a date. Two dates share no seeds if each runs at most a thousand."""
    return int(f"{today:%Y%m%d}000")


def _run_all(seeds: Sequence[int], database_url: str | None) -> list[SeedReport]:
    shares = [seeds[start : start + SEED_COUNT_AT_A_TIME] for start in range(0, len(seeds), SEED_COUNT_AT_A_TIME)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESS_COUNT, mp_context=spawn) as processes:
        running = [processes.submit(run_share, share, database_url) for share in shares]
        return [report for done in as_completed(running) for report in done.result()]


def _say_result(reports: Sequence[SeedReport], elapsed_s: float) -> None:
    dealt: Counter[str] = Counter()
    for report in reports:
        dealt.update(report.dealt)
    failed = sorted(report.seed for report in reports if report.faults)
    sys.stdout.write(
        f"\n{len(reports)} seeds in {elapsed_s:.0f} s, {len(failed)} failed{': ' if failed else ''}"
        f"{', '.join(map(str, failed))}\n{dealt.total():,} faults: "
        f"{', '.join(f'{count:,} {kind}' for kind, count in dealt.most_common())}\n"
    )


if __name__ == "__main__":
    main()
