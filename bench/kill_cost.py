"""`make bench-kill`: measure the cost of orchestration over one set-based statement, and of a worker's crash.

Each round runs the one statement, Settle without a kill, Settle with a kill, and Settle with its only worker killed
and replaced. Every run has a fresh copy of the same imported database on one PostgreSQL. Prints every run and the
medians, and writes `.settle/bench-kill.json`.
"""

import argparse
import asyncio
import json
import statistics
from pathlib import Path

from bench.databases import clone_database, drop_database, own_database
from bench.fresh_stack import fresh_stack, run_settle, say
from bench.one_statement import run_one_statement
from bench.only_worker import replace_only_worker
from bench.settlement_run import SettlementRun, settle_one_batch
from runtime.settings import Settings

BENCH_DIR = Path(".settle/bench-kill")
RESULT_FILE = Path(".settle/bench-kill.json")
SAMPLE_SEED = 1


def main() -> None:
    """Run the rounds, print the medians and write the file."""
    parser = argparse.ArgumentParser(prog="make bench-kill", description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    order_file = BENCH_DIR / "orders.csv"
    with fresh_stack(BENCH_DIR) as settings:
        run_settle("sample", str(order_file), "--orders", str(arguments.orders), "--seed", str(SAMPLE_SEED))
        run_settle("import", str(order_file))
        statements_s, undisturbed_s, killed_s, hits, replaced_s = [], [], [], [], []
        for pair in range(arguments.pairs):
            statements_s.append(_one_statement(settings, pair))
            undisturbed_s.append(_settle(settings, pair, kill=False).settle_s)
            killed = _settle(settings, pair, kill=True)
            killed_s.append(killed.settle_s)
            hits.append(len(killed.kill.chunk_workflow_ids) if killed.kill else 0)
            replaced_s.append(_replace(settings, pair))
    statement_s, plain_s = statistics.median(statements_s), statistics.median(undisturbed_s)
    costs_s = [killed - plain for killed, plain in zip(killed_s, undisturbed_s, strict=True)]
    result = {
        "orders": arguments.orders,
        "chunk_size": settings.chunk_size,
        "window": settings.window,
        "one_statement_s": statements_s,
        "settle_s": undisturbed_s,
        "settle_with_kill_s": killed_s,
        "activities_in_flight_at_kill": hits,
        "kill_cost_s_median": statistics.median(costs_s),
        "replacement_to_first_chunk_s": replaced_s,
        "times_the_one_statement": plain_s / statement_s,
    }
    RESULT_FILE.write_text(json.dumps(result, indent=2) + "\n")
    say(
        f"Medians of {arguments.pairs}: one statement {statement_s:.2f} s; Settle {plain_s:.2f} s, "
        f"{plain_s / statement_s:.2f} times as long ({arguments.orders / plain_s:,.0f} orders/s). "
        f"A killed worker costs {statistics.median(costs_s):.2f} s more. "
        f"If it was the only one, the next chunk closes {statistics.median(replaced_s):.2f} s after its "
        f"replacement's start. All figures: {RESULT_FILE}"
    )


def _one_statement(settings: Settings, pair: int) -> float:
    url = clone_database(settings.database_url, f"one_statement_{pair}")
    took_s = run_one_statement(url, settings.chunk_size)
    drop_database(url)
    say(f"pair {pair}: one statement {took_s:.2f} s")
    return took_s


def _settle(settings: Settings, pair: int, *, kill: bool) -> SettlementRun:
    name = f"pair-{pair}-{'kill' if kill else 'plain'}"
    with own_database(settings, name) as own:
        run = asyncio.run(settle_one_batch(own, BENCH_DIR / "logs" / name, batch_id=name, kill=kill))
    hit = f", {len(run.kill.chunk_workflow_ids)} chunks in flight at the kill" if run.kill else ""
    say(f"pair {pair}: Settle {'with' if kill else 'without'} a kill {run.settle_s:.2f} s{hit}")
    return run


def _replace(settings: Settings, pair: int) -> float:
    name = f"pair-{pair}-replaced"
    with own_database(settings, name) as own:
        replaced_s = asyncio.run(replace_only_worker(own, BENCH_DIR / "logs" / name, batch_id=name))
    say(f"pair {pair}: only worker killed: {replaced_s:.2f} s from its replacement's start to the next closed chunk")
    return replaced_s


if __name__ == "__main__":
    main()
