"""`make demo`: settle orders from Kafka on a fresh embedded stack, kill a worker meanwhile, and check the result.

Exits with 1 if the audit, the expected outcome or an account's balance is wrong, or if the kill hit no work in flight.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from bench.check_balances import find_differences
from bench.databases import clone_database
from bench.fresh_stack import fresh_stack, run_settle, say
from bench.kafka_run import KafkaRun, settle_from_kafka
from bench.one_statement import count_rows, run_one_statement
from domain import limits
from domain.control_totals import sum_totals
from runtime.settings import Settings
from schemas.wire.reports import BatchReport
from schemas.wire.totals import ControlTotals
from starters.console import print_totals
from starters.report import fetch_report_of, print_reasons

DEMO_DIR = Path(".settle/demo")
RESULT_FILE = Path(".settle/demo.json")
SAMPLE_SEED = 1
CHUNK_COUNT_MIN = 40
BATCH_COUNT_MIN = 5
BATCH_COUNT_MAX = limits.BATCH_LIST_COUNT_MAX // 2  # batches that are started before they are full are extra
TOTALS = ("planned", "settled", "rejected", "failed", "held", "pending", "unconfirmed", "ledger")


def main() -> None:
    """Run the demo and print the problems found."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--keep", action="store_true", help="leave the stack up")
    arguments = parser.parse_args()
    if arguments.orders < CHUNK_COUNT_MIN:
        parser.error(f"--orders (make demo ORDERS=N) must be at least {CHUNK_COUNT_MIN}, not {arguments.orders}")
    RESULT_FILE.unlink(missing_ok=True)
    with fresh_stack(DEMO_DIR, keep=arguments.keep) as settings:
        problems = _demo(settings, arguments.orders)
    for problem in problems:
        say(f"PROBLEM: {problem}")
    sys.exit(1 if problems else 0)


def _demo(settings: Settings, order_count: int) -> list[str]:
    order_file = DEMO_DIR / "orders.csv"
    settings = settings.model_copy(
        update={
            "chunk_size": plan_chunk_size(settings.chunk_size, order_count),
            "intake_batch_size": plan_batch_size(settings.intake_batch_size, order_count),
        }
    )
    run_settle("sample", str(order_file), "--orders", str(order_count), "--seed", str(SAMPLE_SEED))
    run_settle("import", str(order_file), "--publish")
    one_statement_url = clone_database(settings.database_url, "one_statement")
    run = asyncio.run(settle_from_kafka(settings, DEMO_DIR / "logs", order_count))
    reports = [asyncio.run(fetch_report_of(settings, batch_id)) for batch_id in run.batch_ids]
    run_settle("batches")
    total = _add_up(reports)
    print_totals(total, always=("planned", "settled", "ledger"))
    print_reasons(_count_reasons(reports))
    audit = json.loads(run_settle("audit", "--json", check=False))
    one_statement_s = run_one_statement(one_statement_url, settings.chunk_size)
    expected = json.loads(order_file.with_suffix(".expected.json").read_text())
    problems = [
        *_find_outcome_problems(reports, total, expected, order_count),
        *[f"{item['kind']} {item['id']}: {item['detail']}" for item in audit["breaks"]],
        *find_differences(str(order_file), settings.database_url),
        *_find_kill_problems(run),
        *_find_bound_problems(settings.database_url, one_statement_url),
    ]
    result = _result(order_count, run, one_statement_s, expected, reports, audit, settings)
    RESULT_FILE.write_text(json.dumps(result, indent=2) + "\n")
    _tell(result, run, problems)
    return problems


def plan_chunk_size(chunk_size: int, order_count: int) -> int:
    """Return a smaller chunk size for a small demo, so that at 40 % there are chunks left for the kill to hit."""
    return min(chunk_size, max(1, order_count // CHUNK_COUNT_MIN))


def plan_batch_size(batch_size: int, order_count: int) -> int:
    """Return a smaller batch size for a small demo, and a larger one for a large demo to keep its batch list whole."""
    return max(min(batch_size, order_count // BATCH_COUNT_MIN), order_count // BATCH_COUNT_MAX)


def _add_up(reports: list[BatchReport]) -> dict[str, ControlTotals]:
    """Return the control totals of all batches together."""
    return {name: sum_totals(getattr(report, name) for report in reports) for name in TOTALS}


def _count_reasons(reports: list[BatchReport]) -> dict[str, int]:
    """Return the number of items in all batches by reason code, sorted by code."""
    counts = sum((Counter(report.reasons) for report in reports), Counter())
    return dict(sorted(counts.items()))


def _find_outcome_problems(
    reports: list[BatchReport], total: dict[str, ControlTotals], expected: dict[str, Any], order_count: int
) -> list[str]:
    reasons = _count_reasons(reports)
    found = {name: json.loads(total[name].model_dump_json()) for name in ("settled", "rejected")} | {"reasons": reasons}
    problems = [
        f"{name} is {found[name]}, but the sample must give {expected[name]}"
        for name in ("settled", "rejected", "reasons")
        if found[name] != expected[name]
    ]
    problems += [
        f"batch {report.batch_id} is {report.state}{'' if report.balanced else ' and does not balance'}"
        for report in reports
        if not report.balanced or report.state != "closed"
    ]
    if total["planned"].order_count != order_count or len(reports) < BATCH_COUNT_MIN:
        problems.append(
            f"{total['planned'].order_count} of {order_count} orders are in {len(reports)} batches, but all must be in "
            f"at least {BATCH_COUNT_MIN}"
        )
    return problems


def _find_kill_problems(run: KafkaRun) -> list[str]:
    if run.kill and run.kill_cost and run.kill_cost.attempts_max >= 2:
        return []
    return ["the kill hit no work in flight: no history has a second attempt. Run the demo with more orders."]


def _find_bound_problems(database_url: str, one_statement_url: str) -> list[str]:
    ours, bound = count_rows(database_url), count_rows(one_statement_url)
    return [
        f"{table}: Settle wrote {ours[table]}, but the one statement wrote {bound[table]}"
        for table in ours
        if ours[table] != bound[table]
    ]


def _result(
    order_count: int,
    run: KafkaRun,
    one_statement_s: float,
    expected: dict[str, Any],
    reports: list[BatchReport],
    audit: dict[str, Any],
    settings: Settings,
) -> dict[str, Any]:
    return {
        "orders": order_count,
        "batches": run.batch_ids,
        "settle_s": round(run.settle_s, 3),
        "orders_per_s": round(order_count / run.settle_s),
        "one_statement_s": round(one_statement_s, 3),
        "kill": {
            "at_fraction": run.kill.at_fraction if run.kill else None,
            "activities_in_flight": len(run.kill.chunk_workflow_ids) if run.kill else 0,
            "cost_s": round(run.kill_cost.cost_s, 3) if run.kill_cost else None,
        },
        "expected_reasons": expected["reasons"],
        "reports": [json.loads(report.model_dump_json()) for report in reports],
        "audit": audit,
        "web_ui_url": f"{settings.temporal_ui_url}/namespaces/default/workflows",
    }


def _tell(result: dict[str, Any], run: KafkaRun, problems: list[str]) -> None:
    kill = result["kill"]
    say(
        f"{result['orders']:,} orders taken in from Kafka and settled in {len(run.batch_ids)} batches in "
        f"{result['settle_s']:.1f} s: {result['orders_per_s']:,} orders/s. "
        f"One set-based statement for the same rows: {result['one_statement_s']:.1f} s."
    )
    if run.kill:
        say(
            f"A worker was killed at {kill['at_fraction']:.0%} with {kill['activities_in_flight']} chunks in "
            f"flight; the last of their chunks was closed {kill['cost_s']:.1f} s later."
        )
    say(f"Audit: {'ok' if result['audit']['ok'] else 'BROKEN'}, {result['audit']['orders']:,} orders.")
    if not problems:
        say("Every account's balance agrees with what the order file alone gives.")
    say(f"All figures: {RESULT_FILE}. The batches in the web UI: {result['web_ui_url']}")


if __name__ == "__main__":
    main()
