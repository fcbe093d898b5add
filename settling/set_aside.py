"""Leaving out of a chunk's step what is set aside."""

from collections.abc import Sequence

from schemas.isolation import SetAside
from schemas.items import ExceptionItem, Item
from schemas.reasons import Outcome, ReasonCode

NOTHING_ASIDE = SetAside()


def leave_out(
    set_aside: SetAside, items: Sequence[Item], held_reason: ReasonCode
) -> tuple[Sequence[Item], list[ExceptionItem]]:
    """The items that are left to process, and the outcomes of the others that are not settled."""
    if set_aside == NOTHING_ASIDE:
        return items, []
    isolated_item_nos = {each.item_no for each in set_aside.isolated}
    held_item_nos = {item_no for held in set_aside.held_ranges for item_no in range(*held)}
    aside = isolated_item_nos | held_item_nos
    exceptions = [
        ExceptionItem(each.item_no, each.outcome, each.reason_code, each.detail)
        for each in set_aside.isolated
        if each.reason_code
    ]
    exceptions += [
        ExceptionItem(item.item_no, Outcome.HELD, held_reason, set_aside.held_detail)
        for item in items
        if item.item_no in held_item_nos
    ]
    left = [item for item in items if item.item_no not in aside]
    return left, exceptions
