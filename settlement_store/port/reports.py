"""Reports of closed batches, a part of the settlement store's contract: kept reports, and what came since."""

from collections.abc import Sequence
from typing import Protocol

from schemas.batches import KeptReport
from schemas.items import LaterItemGroup


class Reports(Protocol):
    """Reports, each kept by the transaction that closed its batch (`Batches.close_batch`)."""

    async def fetch_kept_reports(self, batch_ids: Sequence[str]) -> dict[str, KeptReport]:
        """Read the kept reports of these batches by batch id; a batch that is not closed is left out."""

    async def fetch_later_item_groups(
        self, batch_id: str, after_item_no: int, item_count_max: int
    ) -> list[LaterItemGroup]:
        """Group the next exception items of a batch by their orders' latest items, in one snapshot.

        Pruned exception items are left out.

        Args:
            batch_id: the exception items' batch.
            after_item_no: the last item number of the previous slice; -1 for the first slice.
            item_count_max: the slice's bound.

        Raises:
            BatchNotFoundError: no batch has this id.
        """

    async def fetch_rerun_ids(self, batch_id: str, batch_count_max: int) -> list[str]:
        """Read the newest batches that rerun items of a batch, newest first."""
