"""Both mornings side by side, and what must not be in them."""

from rich.table import Table

from bench.incident.morning import Morning
from starters.console import print_whole


def print_comparison(failed: Morning, settle: Morning) -> None:
    """Print a table with a column for each."""
    table = Table("that morning, replayed")
    table.add_column("the design that failed", justify="right")
    table.add_column("Settle", justify="right")
    for cells in zip(_NAMES, _cells_of(failed), _cells_of(settle), strict=True):
        table.add_row(*cells)
    print_whole(table)


def find_problems(failed: Morning, settle: Morning) -> list[str]:
    """A sentence for each thing that is off."""
    wrong = {
        "Settle rejected orders": settle.rejected,
        "Settle lost orders": settle.lost,
        "Settle paid orders twice": settle.paid_twice,
        "Settle's neighbour lost notices": settle.notices_sent - settle.notices_handled,
    }
    problems = [f"{what}: {count:,}" for what, count in wrong.items() if count]
    if not failed.rejected:
        problems.append("the design that failed rejected nothing, so nothing is shown")
    if settle.settled_s is None:
        problems.append("the batches of Settle were not closed in time, with all orders settled")
    return [*failed.problems, *settle.problems, *problems]


_NAMES = (
    "messages sent",
    "rejected",
    "lost",
    "settled",
    "paid twice",
    "time until all is settled",
    "longest query",
    "peak memory",
    "other topic: messages sent",
    "other topic: rejected",
    "other topic: delay, median",
    "other topic: delay, longest",
)


def _cells_of(morning: Morning) -> tuple[str, ...]:
    return (
        f"{morning.sent:,}",
        f"{morning.rejected:,}",
        f"{morning.lost:,}",
        f"{morning.settled:,}",
        f"{morning.paid_twice:,}",
        "never" if morning.settled_s is None else _seconds(morning.settled_s),
        _seconds(morning.query_s_max),
        f"{morning.rss_bytes_max / 2**20:,.0f} MiB",
        f"{morning.notices_sent:,}",
        f"{morning.notices_sent - morning.notices_handled:,}",
        _seconds(morning.notice_delay_s_median),
        _seconds(morning.notice_delay_s_max),
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
