"""The demo has several batches, and no more than it can list, whatever its size."""

import pytest

from bench.demo import BATCH_COUNT_MIN, plan_batch_size
from domain import limits


@pytest.mark.parametrize("order_count", [40, 1_000, 100_000, 1_000_000, 10_000_000])
def test_the_batches_are_several_and_can_all_be_listed(order_count: int) -> None:
    batch_count = -(-order_count // plan_batch_size(limits.INTAKE_BATCH_SIZE_DEFAULT, order_count))
    assert BATCH_COUNT_MIN <= batch_count <= limits.BATCH_LIST_COUNT_MAX * 0.6
