"""One chunk: validate its orders, then credit those that may be credited."""

from temporalio import workflow

from activities.settlement import SettlementActivities
from schemas.batches import OutcomeTotals
from schemas.workflows import ChunkRef
from workflows.activity_options import CHUNK_ACTIVITY


@workflow.defn
class SettleChunkWorkflow:
    """Runs a chunk's two steps; each is idempotent, and PostgreSQL decides what is left of it to do."""

    @workflow.run
    async def run(self, ref: ChunkRef) -> OutcomeTotals:
        """Validate, then credit; the closed chunk's control totals."""
        name = f"chunk {ref.chunk_index}"
        workflow.set_current_details("Validating: are the orders as announced, paid, undisputed, past their period?")
        rejected = await workflow.execute_activity_method(
            SettlementActivities.validate_chunk, ref, summary=f"validate {name}", **CHUNK_ACTIVITY
        )
        workflow.set_current_details(
            f"Validated: {rejected.rejected.order_count:,} rejected. Crediting the others; "
            "if this takes long, look at the pending activity's last failure."
        )
        totals = await self._credit(ref, name)
        workflow.set_current_details(
            f"Closed: {totals.settled.order_count:,} settled, {totals.rejected.order_count:,} rejected, "
            f"{totals.held.order_count:,} held."
        )
        return totals

    async def _credit(self, ref: ChunkRef, name: str) -> OutcomeTotals:
        """Credit the chunk; while a cap on credits makes it wait, it sleeps here and holds no slot of a worker."""
        while True:
            step = await workflow.execute_activity_method(
                SettlementActivities.credit_chunk, ref, summary=f"credit {name}", **CHUNK_ACTIVITY
            )
            if not step.wait_s:
                return step
            ref = ref.model_copy(update={"is_turn_promised": step.is_turn_promised})
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(ref)
            await workflow.sleep(step.wait_s, summary="wait for a turn under the cap on credits")
