"""Reports of closed batches, in memory."""

from collections.abc import Sequence

from schemas.batches import KeptReport
from schemas.item_outcomes import ItemOutcome
from schemas.items import Item, LaterItemGroup
from tests.doubles.settlement_store.store_state import StoreState


class MemoryReports:
    """`Reports` in memory."""

    def __init__(self, state: StoreState) -> None:
        self.state = state

    async def fetch_kept_reports(self, batch_ids: Sequence[str]) -> dict[str, KeptReport]:
        return {each: self.state.kept_reports[each] for each in batch_ids if each in self.state.kept_reports}

    async def fetch_later_item_groups(
        self, batch_id: str, after_item_no: int, item_count_max: int
    ) -> list[LaterItemGroup]:
        contents = self.state.contents_of(batch_id)
        following = [each.item_no for each in contents.live_exceptions if each.item_no > after_item_no]
        groups: dict[tuple[bool, ItemOutcome, str], list[tuple[int, Item]]] = {}
        for item_no in following[:item_count_max]:
            claim = self.state.claims[contents.items[item_no].order_id]
            latest_contents = self.state.contents_of(claim.batch_id)
            latest = latest_contents.items[claim.item_no]
            came_again = latest.claim_no > contents.items[item_no].claim_no
            group = came_again, latest_contents.outcome_of(latest.item_no), latest.currency
            groups.setdefault(group, []).append((item_no, latest))
        return [
            LaterItemGroup(
                *group,
                amount_minor=sum(latest.amount_minor for _, latest in items),
                order_ids=[latest.order_id for _, latest in items],
                item_no_last=max(item_no for item_no, _ in items),
            )
            for group, items in groups.items()
        ]

    async def fetch_rerun_ids(self, batch_id: str, batch_count_max: int) -> list[str]:
        newest_first = reversed(self.state.batches.values())
        reruns = [each.batch_id for each in newest_first if each.rerun and each.rerun.batch_id == batch_id]
        return reruns[:batch_count_max]
