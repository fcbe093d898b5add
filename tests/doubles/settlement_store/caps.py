"""Caps on credits in memory."""

import time

from domain.credit_turns import plan_turn
from schemas.credit_turns import CreditBucket, CreditTurn
from tests.doubles.settlement_store.store_state import StoreState

_INSTALLATION_ID = ""


class MemoryCreditBuckets:
    """`CreditBuckets` in memory."""

    def __init__(self, state: StoreState) -> None:
        self.state = state

    async def take_credits(
        self, batch_id: str, order_count: int, credits_per_s: int | None, *, is_promised: bool
    ) -> CreditTurn:
        caps = {_INSTALLATION_ID: credits_per_s, batch_id: self.state.batch_of(batch_id).credits_per_s}
        cap_by_id = {each: cap for each, cap in caps.items() if cap}
        if not cap_by_id:
            return CreditTurn(is_taken=True, wait_s=0)
        now_s = time.monotonic()
        free = CreditBucket(1, now_s, now_s)
        stored = self.state.credit_buckets
        buckets = [stored.get(each, free)._replace(credits_per_s=cap) for each, cap in cap_by_id.items()]
        turn, planned = plan_turn(buckets, now_s, order_count, is_promised=is_promised)
        stored.update(zip(cap_by_id, planned, strict=True))
        return turn
