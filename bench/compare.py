"""`make bench`: compare Settle with the bounds and its peers, on the same orders, in one run.

Every contestant settles the same overdue orders on a fresh copy of one imported database, on one durable PostgreSQL.
The time runs from the freezing of the first order until all orders are acknowledged and final. For the lean bound it
is the time of its one statement. Every round runs each contestant once, and each round begins with a different one.
Afterwards Settle settles a million orders and the comparison's number of orders in alternation. Prints a table and
writes `bench/out/latest.json` and `bench/out/plot.md`.
"""

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.comparison_report import Figures, print_table, write_plot
from bench.contestants.chunked_sql import run_chunked_sql
from bench.contestants.dbos_queue import run_dbos
from bench.contestants.lean_bound import run_lean_bound
from bench.contestants.per_order_sql import run_per_order_sql
from bench.databases import clone_database, drop_database, keep_orders, own_database
from bench.environment import describe_environment
from bench.fresh_stack import fresh_stack, run_settle, say
from bench.million import measure_million
from bench.one_statement import count_rows, require_rows, run_one_statement
from bench.settlement_run import run_settlement
from domain.batch_openings import plan_manual_opening
from runtime.settings import Settings
from schemas.wire.batches import BatchOpening

BENCH_DIR = Path(".settle/bench")
OUT_DIR = Path("bench/out")
SAMPLE_SEED = 1
ROUND_COUNT = 7
CHUNK_SIZES = (1_000, 2_500, 5_000)
PER_ORDER_SQL_SAMPLE = 10_000
PER_ORDER_WORKFLOW_SAMPLE = 200
PER_ORDER_WORKFLOW_WINDOW = 100


class Contestant(NamedTuple):
    """One way to settle orders. `run` returns the seconds that it took."""

    name: str
    chunk_size: int | None
    order_count: int
    run: Callable[[Settings], float]

    @property
    def title(self) -> str:
        """The name, with the chunk size if the contestant runs with several."""
        return f"{self.name}, chunks of {self.chunk_size:,}" if self.chunk_size else self.name


def main() -> None:
    """Run all rounds, print the table and write the files."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="one round, and no million orders")
    arguments = parser.parse_args()
    order_file = BENCH_DIR / "orders.csv"
    with fresh_stack(BENCH_DIR) as settings:
        empty_url = clone_database(settings.database_url, "empty")
        run_settle("sample", str(order_file), "--orders", str(arguments.orders), "--seed", str(SAMPLE_SEED))
        run_settle("import", str(order_file))
        with own_database(settings, "warm-up") as own:
            _bound(own)
            rows = count_rows(own.database_url)
        runners = contestants(arguments.orders, CHUNK_SIZES, rows)
        elapsed_s = _run_rounds(settings, runners, 1 if arguments.quick else ROUND_COUNT)
        million = None if arguments.quick else measure_million(settings, arguments.orders, empty_url, BENCH_DIR)
        environment = describe_environment(settings)
    figures = [Figures(each.title, [each.order_count / took_s for took_s in elapsed_s[each.title]]) for each in runners]
    result = _summarise(arguments.orders, settings, figures) | {"million": million, "environment": environment}
    OUT_DIR.mkdir(exist_ok=True)
    (OUT_DIR / "latest.json").write_text(json.dumps(result, indent=2) + "\n")
    write_plot(figures, OUT_DIR / "plot.md")
    print_table(figures)
    by_round = " ".join(f"{ratio:.2f}" for ratio in result["settle_of_dbos_by_round"])
    say(f"Settle / DBOS with chunks of {settings.chunk_size:,}, round by round: {by_round}")
    say(f"All figures: {OUT_DIR / 'latest.json'}; the plot: {OUT_DIR / 'plot.md'}")


def contestants(order_count: int, chunk_sizes: Sequence[int], rows: dict[str, int]) -> list[Contestant]:
    """Return all contestants.

    Args:
        order_count: the number of orders.
        chunk_sizes: the chunk sizes of the contestants that work in chunks.
        rows: the row counts that each of those must have written, from `count_rows`.
    """
    chunked = [
        Contestant(name, chunk_size, order_count, partial(run, rows, chunk_size))
        for chunk_size in chunk_sizes
        for name, run in (
            ("chunked SQL", partial(_chunked_sql, order_count)),
            ("Settle", _settle),
            ("DBOS", _dbos),
        )
    ]
    return [
        Contestant("bound", None, order_count, _bound),
        Contestant("lean bound", None, order_count, lambda own: run_lean_bound(own.database_url)),
        *chunked,
        Contestant("a transaction per order", None, PER_ORDER_SQL_SAMPLE, _per_order_sql),
        Contestant("a workflow per order", None, PER_ORDER_WORKFLOW_SAMPLE, _per_order_workflow),
    ]


def _run_rounds(settings: Settings, runners: Sequence[Contestant], round_count: int) -> defaultdict[str, list[float]]:
    elapsed_s: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(round_count):
        start = number * len(runners) // round_count
        for place, contestant in enumerate([*runners[start:], *runners[:start]]):
            with own_database(settings, f"round-{number}-{place}") as own:
                took_s = contestant.run(own)
            elapsed_s[contestant.title].append(took_s)
            say(f"round {number + 1}: {contestant.title}: {contestant.order_count / took_s:,.0f} orders/s")
    return elapsed_s


def _bound(own: Settings) -> float:
    return run_one_statement(own.database_url, own.chunk_size)


def _settle(rows: dict[str, int], chunk_size: int, own: Settings) -> float:
    run = run_settlement(_with_chunk_size(own, chunk_size), BENCH_DIR / "logs" / own.task_queue)
    require_rows(own.database_url, rows)
    return run.settle_s


def _chunked_sql(order_count: int, rows: dict[str, int], chunk_size: int, own: Settings) -> float:
    took_s = run_chunked_sql(own, _opening(own, chunk_size), -(-order_count // chunk_size))
    require_rows(own.database_url, rows)
    return took_s


def _dbos(rows: dict[str, int], chunk_size: int, own: Settings) -> float:
    system_database_url = clone_database(own.database_url, f"{own.task_queue}-dbos", template="template0")
    took_s = run_dbos(own, _opening(own, chunk_size), system_database_url)
    drop_database(system_database_url)
    require_rows(own.database_url, rows)
    return took_s


def _per_order_sql(own: Settings) -> float:
    keep_orders(own.database_url, PER_ORDER_SQL_SAMPLE)
    return run_per_order_sql(own.database_url)


def _per_order_workflow(own: Settings) -> float:
    """Run Settle with chunks of one order, so that each order has its own workflow."""
    keep_orders(own.database_url, PER_ORDER_WORKFLOW_SAMPLE)
    own = own.model_copy(update={"window": PER_ORDER_WORKFLOW_WINDOW})
    return run_settlement(_with_chunk_size(own, 1), BENCH_DIR / "logs" / own.task_queue).settle_s


def _with_chunk_size(settings: Settings, chunk_size: int) -> Settings:
    return settings.model_copy(update={"chunk_size": chunk_size})


def _opening(settings: Settings, chunk_size: int) -> BatchOpening:
    return plan_manual_opening(
        settings.batch_settings, datetime.now(UTC), batch_id=settings.task_queue, chunk_size=chunk_size
    )


def _summarise(order_count: int, settings: Settings, figures: Sequence[Figures]) -> dict[str, Any]:
    per_s = {each.title: statistics.median(each.orders_per_s) for each in figures}
    shipped = f"chunks of {settings.chunk_size:,}"

    def best(name: str) -> float:
        return max(rate for title, rate in per_s.items() if title.startswith(name))

    bound, lean, settle = per_s["bound"], per_s["lean bound"], per_s[f"Settle, {shipped}"]
    by_title = {each.title: each.orders_per_s for each in figures}
    rivals = zip(by_title[f"Settle, {shipped}"], by_title[f"DBOS, {shipped}"], strict=True)
    return {
        "orders": order_count,
        "chunk_size": settings.chunk_size,
        "window": settings.window,
        "bound_orders_per_s": bound,
        "lean_bound_orders_per_s": lean,
        "chunked_sql_orders_per_s": per_s[f"chunked SQL, {shipped}"],
        "settle_orders_per_s": settle,
        "settle_best_orders_per_s": best("Settle"),
        "dbos_orders_per_s": per_s[f"DBOS, {shipped}"],
        "dbos_best_orders_per_s": best("DBOS"),
        "per_order_sql_orders_per_s": per_s["a transaction per order"],
        "per_order_workflow_orders_per_s": per_s["a workflow per order"],
        "settle_of_bound": settle / bound,
        "settle_of_lean_bound": settle / lean,
        "settle_of_dbos": settle / per_s[f"DBOS, {shipped}"],
        "settle_of_dbos_by_round": [ours / theirs for ours, theirs in rivals],
        "all_orders_per_s": by_title,
    }


if __name__ == "__main__":
    main()
