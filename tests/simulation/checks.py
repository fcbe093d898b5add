"""Checks on a simulated world at rest."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from temporalio.client import Client

from domain.control_totals import outcome_totals_of, sum_totals
from domain.identifiers import batch_workflow_id
from schemas.order_life import OrderItem
from schemas.wire.batches import FINAL_STATES, BatchOpening, BatchState
from schemas.wire.control import ControlAction
from schemas.wire.reasons import Outcome
from schemas.wire.totals import OutcomeTotals
from settling.auditing import audit
from settling.balancing import check_balance
from settling.reporting import fetch_report
from tests.simulation.world import World
from tests.simulation.world_orders import Kind, Order
from workflows.settle_batch import SettleBatchWorkflow

_FINALLY = {
    Kind.REFUNDED: "FULLY_REFUNDED",
    Kind.NOT_OVER: "AFTER_SALE_NOT_OVER",
    Kind.UNKNOWN: "ORDER_UNKNOWN",
    Kind.ACCOUNT_MISSING: "ACCOUNT_NOT_FOUND",
    Kind.ACCOUNT_IN_OTHER_CURRENCY: "ACCOUNT_CURRENCY_DIFFERS",
    Kind.CREDITED_OTHERWISE: "PAYLOAD_CONFLICT",
}


async def find_stuck(world: World, openings: Iterable[BatchOpening]) -> list[str]:
    """Return a sentence for each batch that is not in a final state."""
    state_by_id = {batch.batch_id: batch.state for batch in await world.systems.store.batches.fetch_batches(100)}
    states = [(opening.batch_id, state_by_id.get(opening.batch_id, "not there")) for opening in openings]
    return [f"batch {batch_id} is stuck: {state}" for batch_id, state in states if state not in FINAL_STATES]


async def find_faults(
    world: World, client: Client, openings: Iterable[BatchOpening], batch_ids_with_twin: Collection[str]
) -> list[str]:
    """Return a sentence for each contradiction with the model, Settle's own audit or a batch's workflow result.

    If a batch had a second workflow, that one may have closed the batch while its own workflow is still paused. The
    result of its own workflow is then not checked.
    """
    store = world.systems.store
    report = await audit(store, world.systems.fund_platform)
    faults = [
        f"audit: {each.kind} {each.id}: {each.detail}"
        for each in report.breaks
        # An order that was credited before Settle has a credit even while it is held unattempted.
        if (each.kind, each.id in world.order_ids_credited_before) != ("credit_of_unattempted", True)
    ]
    faults += world.model.find_ledger_faults(await world.fetch_postings())
    items: defaultdict[str, list[OrderItem]] = defaultdict(list)
    batches = [await store.batches.fetch_batch(opening.batch_id) for opening in openings]
    cutoff_by_batch = {batch.batch_id: batch.cutoff_at for batch in batches if batch.cutoff_at}
    for order_id in world.order_ids:
        of_order = await store.orders.fetch_items_of_order(order_id)
        faults += world.model.find_order_faults(of_order, order_id, cutoff_by_batch)
        for item in of_order:
            items[item.batch_id].append(item)
    for opening in openings:
        has_twin = opening.batch_id in batch_ids_with_twin
        faults += await _find_batch_faults(world, None if has_twin else client, opening, items[opening.batch_id])
    return faults


async def _find_batch_faults(
    world: World, client: Client | None, opening: BatchOpening, items: Sequence[OrderItem]
) -> list[str]:
    batch = await world.systems.store.batches.fetch_batch(opening.batch_id)
    totals = outcome_totals_of((item.outcome, item.currency, 1, item.amount_minor) for item in items)
    planned = sum_totals(getattr(totals, outcome) for outcome in Outcome)
    report = await check_balance(world.systems.store, world.systems.fund_platform, opening.batch_id)
    kept = await fetch_report(world.systems.store, world.systems.fund_platform, opening.batch_id)
    result_totals = await _fetch_result_totals(client, opening.batch_id) if client else totals
    actions = await world.systems.store.control.fetch_control_actions(opening.batch_id)
    is_aborted = any(action.action == ControlAction.ABORT for action in actions)
    appended = [result for batch_id, result in world.appended if batch_id == opening.batch_id]
    conflict_count = sum(len(each.conflict_order_ids) for each in appended)
    conflict_count += sum(item.reason_code == "PAYLOAD_CONFLICT" for item in items)
    checks = {
        "its state": (batch.state, BatchState.ABORTED if is_aborted else BatchState.CLOSED),
        "its stored plan": (report.planned, planned),
        "its report": (OutcomeTotals(**{outcome: getattr(report, outcome) for outcome in Outcome}), totals),
        "its kept report": (OutcomeTotals(**{outcome: getattr(kept, outcome) for outcome in Outcome}), totals),
        "the balance of what came since": (kept.since_closing is not None and kept.since_closing.balanced, True),
        "its workflow's result": (result_totals, totals),
        "its duplicates": (batch.duplicate_count, sum(each.duplicate_count for each in appended)),
        "its conflicts": (batch.conflict_count, conflict_count),
        "its items' numbers": (sorted(item.item_no for item in items), list(range(batch.item_count))),
    }
    return [
        f"batch {opening.batch_id}: {what} is {found}, but must be {wanted}"
        for what, (found, wanted) in checks.items()
        if found != wanted
    ]


async def _fetch_result_totals(client: Client, batch_id: str) -> OutcomeTotals:
    handle = client.get_workflow_handle_for(SettleBatchWorkflow.run, batch_workflow_id(batch_id))
    return (await handle.result()).totals


async def find_unsettled(world: World, orders: Sequence[Order]) -> list[str]:
    """Return a sentence for each order without its expected outcome, once all faults are over and causes repaired."""
    faults = []
    for order in orders:
        items = await world.systems.store.orders.fetch_items_of_order(order.order_id)
        record = await world.systems.order_center.fetch_order(order.order_id)
        if not items and record is None:
            continue
        found = str(items[-1].reason_code or items[-1].outcome) if items else "lost"
        wanted = _FINALLY.get(order.kind, "settled")
        if order.kind == Kind.NOT_OVER and not items:
            continue
        if found != wanted:
            faults.append(f"{order.order_id} ({order.kind}) is {found} in the end, but must be {wanted}")
    return faults
