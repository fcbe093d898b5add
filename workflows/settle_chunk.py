"""One chunk: validate its orders, then credit those that may be credited."""

from temporalio import workflow

from activities.settlement import SettlementActivities
from schemas.workflows import ChunkRef, ChunkResult
from workflows.activity_options import CHUNK_ACTIVITY


@workflow.defn
class SettleChunkWorkflow:
    """Runs a chunk's two steps; each is idempotent, and PostgreSQL decides what is left of it to do."""

    @workflow.run
    async def run(self, ref: ChunkRef) -> ChunkResult:
        """Validate, then credit; how the chunk ended."""
        name = f"chunk {ref.chunk_index}"
        workflow.set_current_details("Validating: are the orders as announced, paid, undisputed, past their period?")
        rejected = await workflow.execute_activity_method(
            SettlementActivities.validate_chunk, ref, summary=f"validate {name}", **CHUNK_ACTIVITY
        )
        workflow.set_current_details(
            f"Validated: {rejected.rejected.order_count:,} rejected. Crediting the others; "
            "if this takes long, look at the pending activity's last failure."
        )
        totals = await workflow.execute_activity_method(
            SettlementActivities.credit_chunk, ref, summary=f"credit {name}", **CHUNK_ACTIVITY
        )
        workflow.set_current_details(
            f"Closed: {totals.settled.order_count:,} settled, {totals.rejected.order_count:,} rejected, "
            f"{totals.held.order_count:,} held."
        )
        return ChunkResult(**dict(totals))
