"""The history of one order in all three systems."""

from domain.errors import DataError, WrongCallError
from domain.identifiers import credit_key
from domain.order_answers import OrderAnswer, plan_answer, plan_credit_breaks, plan_item_breaks
from fund_platform.port.credits import Credits
from order_center.port import OrderCenter
from schemas.order_life import CreditLife, CreditPosting, CurrentRecord, OrderLife
from settling.auditing import find_break
from settling.failures import describe
from settling.systems import Systems

_WITHOUT_PROOF = "the stored answer and the journal entry, because the Fund Platform offers no proof of its ledger"


async def fetch_order_life(systems: Systems, order_id: str) -> OrderLife:
    """Read everything that the three systems store about an order.

    It reads the Order Center first, then the settlement store, then the Fund Platform. In this sequence, concurrent
    progress cannot look like a break: an order that was read as acknowledged already has its item, and an order that
    was read as settled already has its posting.

    Raises:
        WrongCallError: no system has the order.
    """
    store, fund_platform = systems.store, systems.fund_platform
    record, order_error = await _fetch_record(systems.order_center, order_id)
    items = await store.orders.fetch_items_of_order(order_id)
    key = credit_key(order_id)
    if fund_platform.proof:
        credit, not_looked_at = await fund_platform.proof.fetch_credit_life(key), None
    else:
        credit, not_looked_at = await _fetch_credit_alone(fund_platform.credits, key), _WITHOUT_PROOF
    found = await find_break(store, fund_platform, order_id)
    breaks = [*([found] if found else []), *plan_item_breaks(items)]
    if fund_platform.proof:
        breaks += plan_credit_breaks(order_id, credit)
    if not (record or order_error or items or credit.answer or credit.postings or breaks):
        raise WrongCallError(
            f"Order {order_id} was not found in the Order Center, in any batch or in the Fund Platform. Check its id."
        )
    if order_error and not items:
        answer = OrderAnswer(f"Order {order_id} is in no batch, and its record cannot be read.", "Repair the record.")
    else:
        answer = plan_answer(order_id, record, items, credit, is_broken=bool(breaks))
    return OrderLife(
        order_id=order_id,
        answer=answer.sentence,
        advice=answer.advice,
        next_step=answer.next_step,
        breaks=breaks,
        order=record,
        order_error=order_error,
        items=items,
        conflicts=await store.orders.fetch_conflicts_of_order(order_id),
        credit=credit,
        credit_not_looked_at=not_looked_at,
    )


async def _fetch_credit_alone(credits_: Credits, key: str) -> CreditLife:
    """Read the credit alone, from a Fund Platform that offers no proof of its ledger."""
    return CreditLife(
        answer=None,
        postings=[
            CreditPosting(
                entry_id=None,
                reference=None,
                posted_at=credit.posted_at,
                account_id=credit.account_id,
                amount_minor=credit.amount_minor,
                currency=credit.currency,
            )
            for credit in await credits_.fetch_credits_of([key])
        ],
    )


async def _fetch_record(order_center: OrderCenter, order_id: str) -> tuple[CurrentRecord | None, str | None]:
    """Return the order's record, or why it cannot be read. An unreadable record may be why an item failed."""
    try:
        return await order_center.fetch_order(order_id), None
    except DataError as error:
        return None, describe(error)
