"""Bisection of a chunk, to isolate its bad items. It is pure: the caller makes the probes.

A bad range is split, and its left half is probed. If the left half is good, the right half has the bad item and is
split without a probe. An item counts as bad only after a probe of it alone was bad. Each bad item of `n` takes at most
`2 * ceil(log2(n))` probes. If all items turn out to be good, there is one probe more than halvings.
"""

from itertools import pairwise
from typing import NamedTuple

from schemas.wire.isolation import ItemRange


class _Suspect(NamedTuple):
    """A range that may hold bad items. If `is_bad`, it holds at least one, by a probe or by elimination."""

    items: ItemRange
    is_bad: bool
    is_left_half: bool = False


class Isolation:
    """The bisection of one chunk's items. It goes depth first to isolate the first bad items soon.

    Call `next_probe`, make the probe and pass its result to `answer`, until `next_probe` returns None.
    """

    def __init__(self, chunk: ItemRange) -> None:
        self._chunk = chunk
        self._bad_item_nos: list[int] = []
        self._suspects: list[_Suspect] = []

    def begin(self) -> None:
        """Start a search for more bad items, after the chunk has failed without those already isolated."""
        rest = self.rest()
        self._suspects = [_Suspect(items, is_bad=len(rest) == 1) for items in reversed(rest)]

    def next_probe(self) -> ItemRange | None:
        """Return the range to probe next; None if no item is suspected any more."""
        while self._suspects and self._suspects[-1].is_bad and _item_count(self._suspects[-1].items) > 1:
            start, end = self._suspects.pop().items
            middle = (start + end) // 2
            self._suspects.append(_Suspect(ItemRange(middle, end), is_bad=False))
            self._suspects.append(_Suspect(ItemRange(start, middle), is_bad=False, is_left_half=True))
        return self._suspects[-1].items if self._suspects else None

    def answer(self, *, is_bad: bool) -> None:
        """Take the result of the probe that `next_probe` returned."""
        probed = self._suspects.pop()
        if not is_bad:
            if probed.is_left_half:
                self._suspects.append(self._suspects.pop()._replace(is_bad=True))
        elif _item_count(probed.items) == 1:
            self._bad_item_nos.append(probed.items.item_start)
        else:
            self._suspects.append(_Suspect(probed.items, is_bad=True))

    def suspected(self) -> list[ItemRange]:
        """Return the ranges that may still hold bad items."""
        return [suspect.items for suspect in reversed(self._suspects)]

    def rest(self) -> list[ItemRange]:
        """Return the chunk's ranges without the isolated items."""
        start, end = self._chunk
        bounds = [start - 1, *sorted(self._bad_item_nos), end]
        return [ItemRange(before + 1, after) for before, after in pairwise(bounds) if before + 1 < after]


def _item_count(items: ItemRange) -> int:
    return items.item_end - items.item_start
