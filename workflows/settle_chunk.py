"""The workflow of one chunk: validate its orders, then credit the valid ones."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

from activities.settlement import SettlementActivities
from domain.errors import UnansweredForTooLongError
from schemas.wire.payloads import ChunkResult, ChunkRun, CreditingResult
from schemas.wire.totals import OutcomeTotals
from workflows.activity_options import AT_ONCE
from workflows.chunk_steps import CREDITING, TURN_SUMMARY, VALIDATION, ChunkStep, failure_of, hold_chunk


@workflow.defn
class SettleChunkWorkflow:
    """Runs a chunk's two steps. Each is idempotent, and PostgreSQL decides what remains to be done."""

    @workflow.run
    async def run(self, chunk: ChunkRun) -> ChunkResult:
        """Validate, then credit. Return the closed chunk's control totals.

        Both steps nearly always succeed in one local activity, within the workflow's first task. Otherwise each step
        is an activity of its own, which Temporal retries until its deadline.
        """
        answer = await _settle_at_once(chunk)
        if answer and not answer.wait_s:
            return _closed(answer)
        if answer:
            chunk = chunk.model_copy(update={"is_turn_promised": answer.is_turn_promised})
            await workflow.sleep(answer.wait_s, summary=TURN_SUMMARY)
        workflow.set_current_details(
            "Validating: the orders must be as announced, paid, undisputed and past their after-sale period."
        )
        validation = ChunkStep(VALIDATION, chunk, chunk.probe_count_max)
        rejected = await validation.run()
        workflow.set_current_details(
            f"Validated: {rejected.rejected.order_count:,} rejected. Crediting the others. "
            "If this takes long, look at the pending activity's last failure."
        )
        crediting = ChunkStep(CREDITING, chunk, chunk.probe_count_max - validation.probe_count)
        pause_reasons = [validation.pause_reason]
        try:
            totals = await crediting.run()
            pause_reasons.append(crediting.pause_reason)
        except ActivityError as error:
            failure = failure_of(error, UnansweredForTooLongError)
            if failure is None:
                raise
            totals = await hold_chunk(chunk, failure.message)
            pause_reasons.append(_unanswered_text(chunk, totals, failure.message))
        return _closed(
            totals,
            probe_count=validation.probe_count + crediting.probe_count,
            pause_reason=" ".join(filter(None, pause_reasons)) or None,
        )


async def _settle_at_once(chunk: ChunkRun) -> CreditingResult | None:
    """Run both steps in one local activity. Return None if it fails."""
    try:
        return await workflow.execute_local_activity_method(
            SettlementActivities.settle_chunk, chunk, summary=f"settle chunk {chunk.chunk_index}", **AT_ONCE
        )
    except FailureError as error:  # the SDK wraps only some failures of a local activity in an ActivityError
        if is_cancelled_exception(error) and workflow.cancellation_reason() is not None:
            raise
        return None


def _closed(totals: OutcomeTotals, probe_count: int = 0, pause_reason: str | None = None) -> ChunkResult:
    workflow.set_current_details(
        f"Closed: {totals.settled.order_count:,} settled, {totals.rejected.order_count:,} rejected, "
        f"{totals.failed.order_count:,} failed, {totals.held.order_count:,} held."
    )
    return ChunkResult(**dict(totals), probe_count=probe_count, pause_reason=pause_reason)


def _unanswered_text(chunk: ChunkRun, totals: OutcomeTotals, detail: str) -> str:
    return (
        f"Chunk {chunk.chunk_index}: the outcome of its credits is unknown, so {totals.held.order_count:,} orders are "
        f"held. Bring the Fund Platform back, resume the batch, and rerun it once it is closed. {detail}"
    )
