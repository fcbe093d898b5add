"""Which parts of a chunk to probe next, so that its bad items stand alone: pure bisection.

A range that is bad is split; its left half is probed. If that is good, the right half has the bad item: it is split in
turn without being probed. An item is bad only once a probe of it alone said so. At most `2 * ceil(log2(n))` probes for
each bad item of `n`; where all are good after all, one probe more than halvings.
"""

from itertools import pairwise
from typing import NamedTuple

from schemas.wire.isolation import ItemRange


class _Suspect(NamedTuple):
    """A range that may hold bad items; one that `is_bad` has one, whether it was probed or not."""

    items: ItemRange
    is_bad: bool
    is_left_half: bool = False


class Isolation:
    """The bisection of one chunk's items, depth first: however many are bad, some stand alone soon.

    Ask `next_probe`, make the probe, tell its answer by `answer`, until there is none left to make.
    """

    def __init__(self, chunk: ItemRange) -> None:
        self._chunk = chunk
        self._bad_item_nos: list[int] = []
        self._suspects: list[_Suspect] = []

    def begin(self) -> None:
        """The chunk without the items that stand alone is bad: look for others."""
        rest = self.rest()
        self._suspects = [_Suspect(items, is_bad=len(rest) == 1) for items in reversed(rest)]

    def next_probe(self) -> ItemRange | None:
        """The range to probe now; none if no item is suspected any more."""
        while self._suspects and self._suspects[-1].is_bad and _item_count(self._suspects[-1].items) > 1:
            start, end = self._suspects.pop().items
            middle = (start + end) // 2
            self._suspects.append(_Suspect(ItemRange(middle, end), is_bad=False))
            self._suspects.append(_Suspect(ItemRange(start, middle), is_bad=False, is_left_half=True))
        return self._suspects[-1].items if self._suspects else None

    def answer(self, *, is_bad: bool) -> None:
        """Take the answer to the probe that `next_probe` names."""
        probed = self._suspects.pop()
        if not is_bad:
            if probed.is_left_half:
                self._suspects.append(self._suspects.pop()._replace(is_bad=True))
        elif _item_count(probed.items) == 1:
            self._bad_item_nos.append(probed.items.item_start)
        else:
            self._suspects.append(_Suspect(probed.items, is_bad=True))

    def suspected(self) -> list[ItemRange]:
        """The ranges that may still hold bad items."""
        return [suspect.items for suspect in reversed(self._suspects)]

    def rest(self) -> list[ItemRange]:
        """The chunk's ranges without the items that stand alone."""
        start, end = self._chunk
        bounds = [start - 1, *sorted(self._bad_item_nos), end]
        return [ItemRange(before + 1, after) for before, after in pairwise(bounds) if before + 1 < after]


def _item_count(items: ItemRange) -> int:
    return items.item_end - items.item_start
