"""The table and the plot of `make bench`."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

_TABLE_WIDTH = 110


class Figures(NamedTuple):
    """A contestant's rate in each round."""

    title: str
    orders_per_s: list[float]

    @property
    def median_orders_per_s(self) -> float:
        """The median rate of the rounds."""
        return statistics.median(self.orders_per_s)


def print_table(figures: Sequence[Figures]) -> None:
    """Print the medians, their spread, and the medians as a share of the bound."""
    bound = figures[0].median_orders_per_s
    table = Table(title=f"orders a second, medians of {len(figures[0].orders_per_s)}")
    table.add_column("contestant")
    for column in ("orders/s", "lowest", "highest", "of the bound"):
        table.add_column(column, justify="right")
    for each in figures:
        median = each.median_orders_per_s
        rates = (median, min(each.orders_per_s), max(each.orders_per_s))
        table.add_row(each.title, *(f"{rate:,.0f}" for rate in rates), f"{median / bound:.2f}")
    Console(width=_TABLE_WIDTH).print(table)


def write_plot(figures: Sequence[Figures], file: Path) -> None:
    """Write the medians as a Mermaid bar chart in Markdown."""
    names = ", ".join(f'"{each.title.replace(", chunks of", "")}"' for each in figures)
    rates = ", ".join(f"{each.median_orders_per_s / 1000:.1f}" for each in figures)
    file.write_text(
        "```mermaid\n"
        "xychart-beta horizontal\n"
        '    title "Thousand orders a second"\n'
        f"    x-axis [{names}]\n"
        '    y-axis "thousand orders/s" 0 --> '
        f"{max(each.median_orders_per_s for each in figures) / 1000 * 1.1:.0f}\n"
        f"    bar [{rates}]\n"
        "```\n"
    )
