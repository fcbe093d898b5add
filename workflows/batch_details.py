"""The texts about a batch that operators read in the Temporal web UI (Markdown), from the workflow's state alone."""

from datetime import datetime

from schemas.wire.batches import BatchOpening, BatchSource, RerunSelection
from schemas.wire.control import BatchControl
from schemas.wire.payloads import BatchRunProgress, BatchRunState

SETTLING = "settling"
_CHUNKS_NAMED_MAX = 20

CHUNK_STATIC_DETAILS = (
    "Validates the orders of one chunk against the Order Center, then has the Fund Platform credit the valid ones, "
    "each at most once. Terminating it is safe: its items without an outcome become held."
)

_SAFETY = (
    "Cancelling or terminating it is safe: the stores guard every step, so no order is lost or credited twice, and a "
    "worker soon starts the batch again."
)

SCHEDULED_STATIC_SUMMARY = "settle the orders overdue at the latest cutoff"
SCHEDULED_STATIC_DETAILS = (
    "Settles all orders that are overdue at this run's cutoff, the latest one that is not after its scheduled time. "
    f"The numbers that finance signs are in the report of the batch with this workflow's id. {_SAFETY}"
)


def static_summary(opening: BatchOpening) -> str:
    """Return a batch's summary in one line."""
    if opening.rerun:
        return f"rerun {_items_of(opening.rerun)}"
    if opening.source == BatchSource.KAFKA:
        return "settle orders announced on Kafka"
    return f"settle the orders overdue on {opening.business_date}"


def static_details(opening: BatchOpening) -> str:
    """Return a description of the batch and of what is safe to do with it."""
    return (
        f"{_orders_of(opening)} in chunks of **{opening.chunk_size:,}**, at most **{opening.window}** at a time. "
        f"Source: {opening.source}."
        "\n\n"
        f"The numbers that finance signs are in the report of batch {opening.batch_id}. {_SAFETY}"
    )


def _orders_of(opening: BatchOpening) -> str:
    if opening.rerun:
        return f"Reruns {_items_of(opening.rerun)}"
    if opening.source == BatchSource.KAFKA:
        return "Settles the orders that intake took from Kafka"
    return f"Settles all orders whose after-sale period ended before **{opening.cutoff_at:%Y-%m-%d %H:%M:%S} UTC**"


def opening_phase(scheduled_at: datetime) -> str:
    """Return the phase until a scheduled batch is open. A late run shows the time that it was scheduled for."""
    return f"opening the batch of the run scheduled for {scheduled_at:%Y-%m-%d %H:%M:%S} UTC"


def freezing_phase(opening: BatchOpening) -> str:
    """Return the phase until the batch is frozen."""
    if opening.rerun:
        return f"freezing {_items_of(opening.rerun)}"
    if opening.source == BatchSource.KAFKA:
        return "freezing the orders that intake took from Kafka"
    return f"freezing the overdue orders up to {opening.cutoff_at:%Y-%m-%d %H:%M:%S} UTC"


def _items_of(rerun: RerunSelection) -> str:
    outcomes = " or ".join(rerun.outcomes)
    reason = f" for {rerun.reason_code}" if rerun.reason_code else ""
    return f"the items of batch {rerun.batch_id} that are {outcomes}{reason}"


def progress_of(phase: str, state: BatchRunState, chunks_in_flight: list[int]) -> BatchRunProgress:
    """Return the batch's progress as counts."""
    totals = state.totals
    return BatchRunProgress(
        phase=phase,
        chunk_count=state.plan.chunk_count,
        chunk_closed_count=state.chunk_closed_count,
        chunks_in_flight=chunks_in_flight,
        planned=state.plan.planned.order_count,
        settled=totals.settled.order_count,
        rejected=totals.rejected.order_count,
        failed=totals.failed.order_count,
        held=totals.held.order_count,
    )


def settling_phase(control: BatchControl, *, is_run_ending: bool) -> str:
    """Return the phase while chunks are settled. A run that is ending starts no more chunks. The next run continues."""
    if control.is_paused:
        return "paused"
    if control.is_aborting:
        return "aborting: finishing the chunks in flight"
    return "finishing the chunks in flight, to continue in a new run" if is_run_ending else SETTLING


def current_details(
    phase: str, control: BatchControl, state: BatchRunState, chunks_in_flight: list[int], now: datetime
) -> str:
    """Return a frozen batch's live details: phase, counts, rate, the reason for a pause, and the chunks in flight."""
    progress = progress_of(phase, state, chunks_in_flight)
    answered = progress.settled + progress.rejected + progress.failed + progress.held
    elapsed_s = max((now - state.started_at).total_seconds(), 1e-3)
    lines = [
        f"**{phase}**: {progress.chunk_closed_count:,} of {progress.chunk_count:,} chunks closed",
        "",
        f"{progress.planned:,} planned, **{progress.settled:,} settled**, {progress.rejected:,} rejected, "
        f"{progress.failed:,} failed, {progress.held:,} held; {answered / elapsed_s:,.0f} orders/s",
    ]
    if control.is_paused or control.is_aborting:
        what = "Paused until somebody sends the update `resume` or `abort`" if control.is_paused else "Aborted"
        lines += ["", f"{what}. Reason: {control.reason or 'none was given'}"]
    if chunks_in_flight:
        named = ", ".join(str(index) for index in chunks_in_flight[:_CHUNKS_NAMED_MAX])
        more = "" if len(chunks_in_flight) <= _CHUNKS_NAMED_MAX else ", …"
        lines += ["", f"Waiting for chunks in flight: {len(chunks_in_flight)} (chunk {named}{more})"]
    return "\n".join(lines)
