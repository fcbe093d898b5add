"""Excluding items from a step over a chunk."""

from collections.abc import Sequence

from schemas.items import ExceptionItem, Item
from schemas.wire.isolation import Exclusions
from schemas.wire.reasons import Outcome, ReasonCode

NO_EXCLUSIONS = Exclusions()


def exclude(
    exclusions: Exclusions, items: Sequence[Item], held_reason: ReasonCode
) -> tuple[Sequence[Item], list[ExceptionItem]]:
    """Return the items left to process, and the exception outcomes of the excluded ones.

    An isolated item without a reason code is settled after all. It is excluded without an exception outcome.
    """
    if exclusions == NO_EXCLUSIONS:
        return items, []
    isolated_item_nos = {each.item_no for each in exclusions.isolated}
    held_item_nos = {item_no for held in exclusions.held_ranges for item_no in range(*held)}
    excluded_item_nos = isolated_item_nos | held_item_nos
    exceptions = [
        ExceptionItem(each.item_no, each.outcome, each.reason_code, each.detail)
        for each in exclusions.isolated
        if each.reason_code
    ]
    exceptions += [
        ExceptionItem(item.item_no, Outcome.HELD, held_reason, exclusions.held_detail)
        for item in items
        if item.item_no in held_item_nos
    ]
    left = [item for item in items if item.item_no not in excluded_item_nos]
    return left, exceptions
