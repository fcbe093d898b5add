"""`settle sample`: a realistic order file, and beside it what settling it must give."""

import csv
import random
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict

from domain import limits
from domain.control_totals import outcome_totals_of
from domain.order_rules import due_minor_of
from schemas.orders import OrderRecord
from schemas.wire.reasons import Outcome
from schemas.wire.totals import ControlTotals
from starters.console import fail
from starters.exit_codes import EXIT_WRONG_CALL
from starters.sample_orders import SampleOrder, plan_sample_orders

DEFAULT_SEED = 1
DEFAULT_BAD_RATE = 0.02


class ExpectedOutcome(BaseModel):
    """What a sample must give once it is settled; rejected orders count with their announced amount."""

    model_config = ConfigDict(frozen=True)

    orders: int
    settled: ControlTotals
    rejected: ControlTotals
    reasons: dict[str, int]


class _Tally:
    """Adds up what the orders written so far must give, in a few counters whatever their number."""

    def __init__(self) -> None:
        self._order_counts: Counter[tuple[Outcome, str]] = Counter()
        self._amounts_minor: Counter[tuple[Outcome, str]] = Counter()
        self._reasons: Counter[str] = Counter()

    def add(self, order: SampleOrder) -> None:
        outcome = Outcome.SETTLED
        if order.reason_code:
            outcome = Outcome.REJECTED
            self._reasons[order.reason_code] += 1
        place = (outcome, order.record.currency)
        self._order_counts[place] += 1
        self._amounts_minor[place] += due_minor_of(order.record.paid_minor, order.record.refunded_minor)

    def expected(self) -> ExpectedOutcome:
        totals = outcome_totals_of((*place, n, self._amounts_minor[place]) for place, n in self._order_counts.items())
        return ExpectedOutcome(
            orders=self._order_counts.total(),
            settled=totals.settled,
            rejected=totals.rejected,
            reasons=dict(sorted(self._reasons.items())),
        )


def expected_path_of(path: Path) -> Path:
    """Where what a sample must give is written: `orders.expected.json` for `orders.csv`."""
    return path.with_suffix(".expected.json")


def write_sample(path: Path, order_count: int, seed: int, bad_rate: float) -> ExpectedOutcome:
    """Write an order file and its `.expected.json`, replacing what is there; the same call gives the same bytes.

    Orders are written as they are made, so memory does not grow with their number. Exactly
    `round(order_count * bad_rate)` orders are bad, spread evenly over `starters.sample_orders.BAD_REASONS`: the reasons
    that a file can give rise to. An import opens accounts and every order is overdue, so no order is
    ACCOUNT_NOT_FOUND, ACCOUNT_CLOSED or AFTER_SALE_NOT_OVER; and the file is the record itself, so none is
    ORDER_UNKNOWN, ACCOUNT_DIFFERS, AMOUNT_DIFFERS or CURRENCY_DIFFERS.

    Args:
        path: the CSV file to write.
        order_count: how many orders.
        seed: gives the orders; other seeds give other order ids, and accounts of the same currency.
        bad_rate: the share of bad orders, 0 to 1.

    Raises:
        OSError: a file could not be written.
    """
    tally = _Tally()
    orders = plan_sample_orders(order_count, round(order_count * bad_rate), f"S{seed}-", random.Random(seed))  # noqa: S311 - a sample must be repeatable, not secret
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(OrderRecord._fields)
        for order in orders:
            tally.add(order)
            *fields, completed_at, after_sale_ends_at = order.record
            writer.writerow((*fields, f"{completed_at:%Y-%m-%dT%H:%M:%SZ}", f"{after_sale_ends_at:%Y-%m-%dT%H:%M:%SZ}"))
    expected = tally.expected()
    expected_path_of(path).write_text(expected.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return expected


def sample(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="Where to write the orders; replaced if it exists.")],
    orders: Annotated[int, typer.Option("--orders", min=1, max=limits.BATCH_ORDER_COUNT_MAX, help="How many orders.")],
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, help="The same seed gives the same file.")] = (
        DEFAULT_SEED
    ),
    bad_rate: Annotated[
        float, typer.Option("--bad-rate", min=0, max=1, help="The share of orders that must be rejected.")
    ] = DEFAULT_BAD_RATE,
) -> None:
    """Write a realistic order file, and FILE.expected.json: the totals and reasons that settling it must give."""
    try:
        expected = write_sample(file, orders, seed, bad_rate)
    except OSError as error:
        path = typer.format_filename(error.filename or file)
        raise fail(
            f"{path!r} could not be written: {error.strerror}. Name a file in a folder where you may write.",
            EXIT_WRONG_CALL,
        ) from error
    typer.echo(
        f"Wrote {expected.orders:,} orders to {file}, {expected.rejected.order_count:,} of them bad, "
        f"and what they must give to {expected_path_of(file)}."
    )
