"""`python -m bench.worker_counts`: measure the rates of one, two and four workers, and of workers with one role each.

Each round runs every combination once, each on a fresh copy of the same imported database. Prints every run and the
medians.
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from bench.databases import own_database
from bench.fresh_stack import fresh_stack, run_settle, say
from bench.settlement_run import Role, run_settlement

BENCH_DIR = Path(".settle/worker-counts")
SAMPLE_SEED = 1
ROLES: Mapping[str, Sequence[Role]] = MappingProxyType(
    {
        "1 worker": ["all"],
        "2 workers": ["all"] * 2,
        "4 workers": ["all"] * 4,
        "1 for workflows, 1 for activities": ["workflows", "activities"],
        "1 for workflows, 2 for activities": ["workflows", "activities", "activities"],
    }
)


def main() -> None:
    """Run the rounds and print the medians."""
    parser = argparse.ArgumentParser(prog="python -m bench.worker_counts", description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    order_file = BENCH_DIR / "orders.csv"
    orders_per_s: defaultdict[str, list[float]] = defaultdict(list)
    with fresh_stack(BENCH_DIR) as settings:
        run_settle("sample", str(order_file), "--orders", str(arguments.orders), "--seed", str(SAMPLE_SEED))
        run_settle("import", str(order_file))
        for number in range(arguments.rounds):
            for place, (name, roles) in enumerate(ROLES.items()):
                with own_database(settings, f"round-{number}-{place}") as own:
                    run = run_settlement(own, BENCH_DIR / "logs" / own.task_queue, roles=roles)
                orders_per_s[name].append(arguments.orders / run.settle_s)
                say(f"round {number + 1}: {name}: {orders_per_s[name][-1]:,.0f} orders/s")
    for name, rates in orders_per_s.items():
        say(f"{name}: median {statistics.median(rates):,.0f} orders/s, {min(rates):,.0f} to {max(rates):,.0f}")


if __name__ == "__main__":
    main()
