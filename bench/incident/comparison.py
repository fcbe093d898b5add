"""The comparison of both replays, and the checks on it."""

from rich.table import Table

from bench.incident.morning import QUERY_S, Morning
from starters.console import print_whole

_SEEN_FRACTION_MIN = 0.9  # of the longest query, because sampling sees only part of its duration


def print_comparison(failed: Morning, settle: Morning) -> None:
    """Print a table with a column for each design."""
    table = Table("that morning, replayed")
    table.add_column("the design that failed", justify="right")
    table.add_column("Settle", justify="right")
    settle_cells = _cells_of(settle)
    for name, cell in _cells_of(failed).items():
        table.add_row(name, cell, settle_cells[name])
    print_whole(table)


def find_problems(failed: Morning, settle: Morning) -> list[str]:
    """Return a sentence for each problem. There is none if Settle succeeded where the other design failed."""
    wrong = {
        "Settle rejected orders": settle.rejected,
        "Settle lost orders": settle.lost,
        "Settle paid orders twice": settle.paid_twice,
        "messages that the other topic's consumer did not handle while Settle ran": settle.notices_sent
        - settle.notices_handled,
    }
    problems = [*failed.problems, *settle.problems, *(f"{what}: {count:,}" for what, count in wrong.items() if count)]
    if settle.settled_s is None:
        problems.append("Settle did not settle all orders and close their batches in time")
    if min(failed.query_s_max, settle.query_s_max) < QUERY_S * _SEEN_FRACTION_MIN:
        problems.append(f"one of the designs was not observed waiting for a query of {QUERY_S} s")
    if not failed.rejected:
        problems.append("the design that failed rejected no order, so the replay shows nothing")
    return problems


def _cells_of(morning: Morning) -> dict[str, str]:
    return {
        "messages sent": f"{morning.sent:,}",
        "rejected": f"{morning.rejected:,}",
        "lost": f"{morning.lost:,}",
        "settled": f"{morning.settled:,}",
        "paid twice": f"{morning.paid_twice:,}",
        "all settled after": "never" if morning.settled_s is None else _seconds(morning.settled_s),
        "longest query": _seconds(morning.query_s_max),
        "processes": f"{morning.process_count}",
        "their peak memory": f"{morning.rss_bytes_max / 2**20:,.0f} MiB",
        "other topic: messages sent": f"{morning.notices_sent:,}",
        "other topic: never handled": f"{morning.notices_sent - morning.notices_handled:,}",
        "other topic: median delay": _seconds(morning.notice_delay_s_median),
        "other topic: longest delay": _seconds(morning.notice_delay_s_max),
    }


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
