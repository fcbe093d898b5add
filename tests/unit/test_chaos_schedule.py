"""A round of `make chaos` depends only on its seed, and a run's rounds cover every role and kind."""

from datetime import UTC, datetime

from tests.chaos.__main__ import seed_of
from tests.chaos.announced_orders import plan_orders
from tests.chaos.schedule import FAULT_COUNT, SERVERS, Kind, Role, plan_faults

ROUND_COUNT = 20
FIRST_SEED = seed_of(datetime(2026, 11, 25, tzinfo=UTC))
SEEDS = range(FIRST_SEED, FIRST_SEED + ROUND_COUNT)


def test_a_seed_gives_the_same_round_again_and_another_seed_another_one() -> None:
    assert plan_faults(FIRST_SEED) == plan_faults(FIRST_SEED)
    assert plan_faults(FIRST_SEED) != plan_faults(FIRST_SEED + 1)
    assert plan_orders(FIRST_SEED, 100) == plan_orders(FIRST_SEED, 100)
    assert plan_orders(FIRST_SEED, 100) != plan_orders(FIRST_SEED + 1, 100)


def test_each_round_hits_everything_that_runs() -> None:
    for seed in SEEDS:
        faults = plan_faults(seed)
        assert {fault.role for fault in faults} == set(Role)
        assert len(faults) == FAULT_COUNT
        assert sorted(faults) == faults


def test_the_rounds_of_a_run_hit_everything_in_every_way() -> None:
    hit = {(fault.role, fault.kind) for seed in SEEDS for fault in plan_faults(seed)}
    assert hit == {(role, kind) for role in Role for kind in Kind if role in SERVERS or kind != Kind.CUT}


def test_the_rounds_of_two_days_are_different_ones() -> None:
    assert seed_of(datetime(2026, 11, 26, tzinfo=UTC)) not in SEEDS
