"""`make chaos`: rounds of orders on real servers, with kills, pauses, restarts and cut connections from a seed.

Each round's seed is one higher than that of the round before. Prints each fault and each round, and writes
`.settle/chaos.json`. The folder of a failed round is kept, with all logs and data. Exits with 1 if a round failed.
"""

import argparse
import asyncio
import dataclasses
import json
import logging
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from temporalio.runtime import Runtime, TelemetryConfig

from bench.fresh_stack import forget_servers_of_the_shell, say
from tests.apache_kafka.jars import describe_lack
from tests.chaos.round import Round, run_round

DIRECTORY = Path(".settle/chaos")
RESULT_FILE = Path(".settle/chaos.json")
COLUMNS = ("seed", "orders", "batches", "faults", "hits", "round_s", "closed_after_s")
TABLE_WIDTH = 120
FAILURES = ("lost", "double_credits", "unbalanced", "stuck")


def main() -> None:
    """Run the rounds and print the results."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=seed_of(datetime.now(UTC)))
    arguments = parser.parse_args()
    if lack := describe_lack():
        parser.error(lack)
    forget_servers_of_the_shell()
    # Without this, Temporal's client logs every retried request to stderr.
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)))
    rounds: list[Round] = []
    for number in range(arguments.rounds):
        rounds.append(_run(arguments.seed + number))
        RESULT_FILE.write_text(json.dumps([dataclasses.asdict(each) for each in rounds], indent=2) + "\n")
    _print_table(rounds)
    sys.exit(1 if any(each.problems for each in rounds) else 0)


def seed_of(today: datetime) -> int:
    """Return the first seed of a date. Two dates share no seeds if each has at most a hundred rounds."""
    return int(today.strftime("%Y%m%d")) * 100


def _run(seed: int) -> Round:
    directory = DIRECTORY / f"round-{seed}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    # The clients of this process log every broken connection here.
    logging.basicConfig(filename=directory / "clients.log", force=True)
    say(f"Round with seed {seed}")
    again = f"  Its logs and data are in {directory}. Again: make chaos ROUNDS=1 SEED={seed}"
    try:
        finished = asyncio.run(run_round(seed, directory.resolve()))
    except BaseException:
        say(again)
        raise
    for strike in finished.strikes:
        say(
            f"  {strike['struck_s']:5} s  {strike['kind']:7} {strike['target']:10} for {strike['outage_s']:4} s, "
            f"recovered at {strike['recovered_s']:5} s: {strike['in_flight']} {strike['what']}"
        )
    for problem in finished.problems:
        say(f"  PROBLEM: {problem}")
    if finished.problems:
        say(again)
    else:
        shutil.rmtree(directory)
    return finished


def _print_table(rounds: list[Round]) -> None:
    table = Table(*COLUMNS, *FAILURES, title="`make chaos`")
    for each in rounds:
        table.add_row(*(str(getattr(each, name)) for name in (*COLUMNS, *FAILURES)))
    Console(width=TABLE_WIDTH).print(table)
    say(f"All figures: {RESULT_FILE}")


if __name__ == "__main__":
    main()
