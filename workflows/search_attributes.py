"""The search attributes for finding batches and chunks in the Temporal web UI."""

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from schemas.wire.batches import BatchOpening, BatchSource
from schemas.wire.totals import OutcomeTotals

BATCH_ID = SearchAttributeKey.for_keyword("SettleBatchId")
BATCH_STATE = SearchAttributeKey.for_keyword("SettleBatchState")
BUSINESS_DATE = SearchAttributeKey.for_keyword("SettleBusinessDate")
SOURCE = SearchAttributeKey.for_keyword("SettleSource")
EXCEPTION_ITEM_COUNT = SearchAttributeKey.for_int("SettleExceptionItemCount")
# Temporal's own attribute: the time that a workflow was scheduled for, however late the schedule started it.
SCHEDULED_AT = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")

ALL_KEYS = (BATCH_ID, BATCH_STATE, BUSINESS_DATE, SOURCE, EXCEPTION_ITEM_COUNT)


def batch_search_attributes(opening: BatchOpening) -> TypedSearchAttributes:
    """Return the search attributes that a batch workflow is started with."""
    attributes = [
        SearchAttributePair(BATCH_ID, opening.batch_id),
        SearchAttributePair(SOURCE, str(opening.source)),
    ]
    if opening.business_date:
        attributes.append(SearchAttributePair(BUSINESS_DATE, opening.business_date.isoformat()))
    return TypedSearchAttributes(attributes)


def scheduled_search_attributes() -> TypedSearchAttributes:
    """Return the search attributes that the daily schedule starts a batch workflow with.

    The workflow adds those that come with its opening.
    """
    return TypedSearchAttributes([SearchAttributePair(SOURCE, str(BatchSource.SCHEDULE))])


def chunk_search_attributes(batch_id: str) -> TypedSearchAttributes:
    """Return the search attributes that a chunk workflow is started with."""
    return TypedSearchAttributes([SearchAttributePair(BATCH_ID, batch_id)])


def exception_item_count(totals: OutcomeTotals) -> int:
    """Return the number of exception items."""
    return totals.rejected.order_count + totals.failed.order_count + totals.held.order_count
