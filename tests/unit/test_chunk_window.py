"""The sliding window handles chunks that end together, without Temporal."""

import asyncio
from datetime import UTC, date, datetime
from unittest.mock import Mock

import pytest

from runtime.settings import Settings
from schemas.wire.batches import BatchState
from schemas.wire.control import BatchControl
from schemas.wire.payloads import BatchRunPlan, BatchRunState, ChunkResult, ChunkRun
from schemas.wire.totals import ControlTotals
from tests.support.settlements import opening_of
from workflows.chunk_window import ChunkWindow
from workflows.operator_control import OperatorControl

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def window_of(chunk_count: int) -> ChunkWindow:
    """Return a window that takes all chunks of a batch together."""
    opening = opening_of("B1", chunk_size=10, window=chunk_count)
    plan = BatchRunPlan(
        state=BatchState.RUNNING,
        chunk_count=chunk_count,
        chunk_size=10,
        window=chunk_count,
        business_date=date(2026, 11, 21),
        planned=ControlTotals(),
        control=BatchControl(),
        thresholds=Settings().batch_settings.thresholds,
        credit_deadline_s=60,
    )
    operator = OperatorControl("B1", BatchControl(), Mock(), is_open=True)
    return ChunkWindow(opening, BatchRunState(plan=plan, started_at=NOW), operator)


async def test_chunks_that_end_together_each_have_their_reason_to_pause_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reasons = [None, "Bad data.", "No answer.", "Bad data."]

    async def run_chunk(chunk: ChunkRun) -> ChunkResult:
        return ChunkResult(pause_reason=reasons[chunk.chunk_index], probe_count=chunk.chunk_index)

    monkeypatch.setattr("workflows.chunk_window.run_chunk", run_chunk)
    info = Mock()
    info.is_continue_as_new_suggested.return_value = False
    monkeypatch.setattr("workflows.chunk_window.workflow.info", lambda: info)
    window = window_of(len(reasons))
    window.start_chunks()
    await asyncio.sleep(0)  # each chunk ends immediately
    assert window.chunks_in_flight == [0, 1, 2, 3]
    assert window.take_results() == "Bad data. No answer."
    assert (window.chunks_in_flight, window.state.chunk_closed_count, window.state.probe_count) == ([], 4, 6)
