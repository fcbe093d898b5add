"""`make chaos`: rounds of orders on real servers, with kills, pauses, restarts and cut connections from a seed.

A round has the seed of the one before and one. Prints each fault and each round; writes `.settle/chaos.json`. The
folder of a round that went wrong is kept, with all logs and data. Exits with 1 if one did.
"""

import argparse
import asyncio
import dataclasses
import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.fresh_stack import forget_servers_of_the_shell, say
from tests.apache_kafka.jars import describe_lack
from tests.chaos.round import Round, run_round

DIRECTORY = Path(".settle/chaos")
RESULT_FILE = Path(".settle/chaos.json")
COLUMNS = ("seed", "orders", "batches", "faults", "hits", "round_s", "closed_after_s")
FAILURES = ("lost", "double_credits", "unbalanced", "stuck")


def main() -> None:
    """Run the rounds."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=int(datetime.now(UTC).strftime("%Y%m%d")))
    arguments = parser.parse_args()
    if lack := describe_lack():
        parser.error(lack)
    forget_servers_of_the_shell()
    rounds = [_run(arguments.seed + number) for number in range(arguments.rounds)]
    RESULT_FILE.write_text(json.dumps([dataclasses.asdict(each) for each in rounds], indent=2) + "\n")
    _print_table(rounds)
    sys.exit(1 if any(each.problems for each in rounds) else 0)


def _run(seed: int) -> Round:
    directory = DIRECTORY / f"round-{seed}"
    shutil.rmtree(directory, ignore_errors=True)
    say(f"Round with seed {seed}")
    finished = asyncio.run(run_round(seed, directory.resolve()))
    for strike in finished.strikes:
        say(
            f"  {strike['struck_s']:5} s  {strike['kind']:7} {strike['target']:10} for {strike['outage_s']:4} s, "
            f"well at {strike['recovered_s']:5} s: {strike['in_flight']} {strike['what']}"
        )
    for problem in finished.problems:
        say(f"  OFF: {problem}")
    if finished.problems:
        say(f"  Its logs and data are in {directory}. Again: make chaos ROUNDS=1 SEED={seed}")
    else:
        shutil.rmtree(directory)
    return finished


def _print_table(rounds: list[Round]) -> None:
    table = Table(*COLUMNS, *FAILURES, title="`make chaos`")
    for each in rounds:
        table.add_row(*(str(getattr(each, name)) for name in (*COLUMNS, *FAILURES)))
    Console().print(table)
    say(f"All figures: {RESULT_FILE}")


if __name__ == "__main__":
    main()
