"""`settle sample`: write a realistic order file, and beside it the outcome that settling it must give."""

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
    """The outcome that settling a sample must give. Rejected orders count with their announced amount."""

    model_config = ConfigDict(frozen=True)

    orders: int
    settled: ControlTotals
    rejected: ControlTotals
    reasons: dict[str, int]


class _Tally:
    """The expected outcome of the orders written so far, in a few counters however many orders there are."""

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
    """Return the path of a sample's expected outcome: `orders.expected.json` for `orders.csv`."""
    return path.with_suffix(".expected.json")


def write_sample(path: Path, order_count: int, seed: int, bad_rate: float) -> ExpectedOutcome:
    """Write an order file and its `.expected.json`, replacing existing files. The same arguments give the same bytes.

    Orders are written one by one, so memory does not grow with their number. Exactly `round(order_count * bad_rate)`
    orders are bad, spread evenly over `starters.sample_orders.BAD_REASONS`, the reasons that a file can cause. An
    import opens accounts and every order is overdue, so no order is ACCOUNT_NOT_FOUND, ACCOUNT_CLOSED or
    AFTER_SALE_NOT_OVER. The file becomes the record itself, so none is ORDER_UNKNOWN, ACCOUNT_DIFFERS, AMOUNT_DIFFERS
    or CURRENCY_DIFFERS.

    Args:
        path: the CSV file to write.
        order_count: the number of orders.
        seed: gives the orders. Other seeds give other order ids, and the same currency for an account.
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
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="File to write; an existing one is replaced.")],
    orders: Annotated[int, typer.Option("--orders", min=1, max=limits.BATCH_ORDER_COUNT_MAX, help="Number of orders.")],
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, help="The same seed gives the same file.")] = (
        DEFAULT_SEED
    ),
    bad_rate: Annotated[
        float, typer.Option("--bad-rate", min=0, max=1, help="Share of orders that must be rejected.")
    ] = DEFAULT_BAD_RATE,
) -> None:
    """Write a realistic order file, and FILE.expected.json with the totals and reasons that settling it must give."""
    try:
        expected = write_sample(file, orders, seed, bad_rate)
    except OSError as error:
        path = typer.format_filename(error.filename or file)
        raise fail(
            f"{path!r} could not be written: {error.strerror}. Name a file in a folder that you may write to.",
            EXIT_WRONG_CALL,
        ) from error
    typer.echo(
        f"Wrote {expected.orders:,} orders to {file}, {expected.rejected.order_count:,} of them bad, "
        f"and the expected outcome to {expected_path_of(file)}."
    )
