"""One round: orders announced over time, faults that hit work in flight, and checks that nothing was lost."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from domain import limits
from runtime.adapters import open_systems
from schemas.wire.batches import FINAL_STATES
from settlement_store.port import SettlementStore
from tests.chaos.announced_orders import Orders, announce_over_time, load, plan_orders
from tests.chaos.in_flight import AWAY, WHAT, InFlight
from tests.chaos.installation import Installation, running_installation, start_all
from tests.chaos.schedule import PROCESSES, Role, plan_faults
from tests.chaos.strikes import Strike, Strikes
from tests.chaos.verdict import find, judge

ORDER_COUNT = 30_000
HIT_COUNT_MIN = 5
STUCK_S = 60.0
GIVE_UP_S = 300.0
POLL_S = 0.5


@dataclass(frozen=True)
class Round:
    """The result of a round. `problems` is empty if it passed."""

    seed: int
    orders: int
    faults: int
    hits: int
    """Faults that hit work in flight."""
    batches: int
    round_s: float
    closed_after_s: float
    """From the end of the last fault until every order had an outcome and every outcome was delivered."""
    lost: int
    double_credits: int
    unbalanced: int
    stuck: int
    problems: list[str]
    strikes: list[dict[str, object]] = field(default_factory=list)


class Closing(NamedTuple):
    """How a round ended after its last fault."""

    after_s: float
    stuck: int
    """The number of batches that were not closed in time, or 1 if only records or outcomes were left."""

    @property
    def problems(self) -> list[str]:
        """A sentence if the round ended late, otherwise nothing."""
        if not self.stuck:
            return []
        ended = "never" if self.after_s > GIVE_UP_S else f"after {self.after_s:.0f} s"
        return [
            f"stuck: {STUCK_S:.0f} s after the last fault {self.stuck} batches were not closed and delivered. "
            f"The round ended {ended}."
        ]


async def run_round(seed: int, directory: Path) -> Round:
    """Run a seed's round on its own servers in an empty folder. The logs and data stay there."""
    orders = plan_orders(seed, ORDER_COUNT)
    async with running_installation(directory) as installation:
        client = await Client.connect(installation.temporal_address, data_converter=pydantic_data_converter)
        async with (
            open_systems(installation.settings) as ports,
            InFlight(installation, client) as in_flight,
        ):
            await load(ports, orders)
            await start_all(installation)
            return await _run(seed, installation, in_flight, ports.store, orders)


async def _run(
    seed: int, installation: Installation, in_flight: InFlight, store: SettlementStore, orders: Orders
) -> Round:
    strikes = Strikes(installation, in_flight)
    async with strikes.supervising():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(announce_over_time(installation.settings, orders))
            striking = tasks.create_task(strikes.carry_out(plan_faults(seed)))
        struck = striking.result()
        closing = await _await_closing(store, in_flight, len(orders.sample))
        round_s = strikes.now_s()
    # An intake that was paused may take in its last records again after everything seemed done.
    stopped = await _stop(installation, PROCESSES[Role.INTAKE])
    drained = await _await_closing(store, in_flight, len(orders.sample))
    stopped += await _stop(installation, (*PROCESSES[Role.WORKER], *PROCESSES[Role.RELAY]))
    problems = [*closing.problems, *drained.problems, *strikes.problems, *stopped, *_hit_problems(struck)]
    found = await find(installation)
    verdict = judge(orders, found)
    return Round(
        seed=seed,
        orders=ORDER_COUNT,
        faults=len(struck),
        hits=_count_hits(struck),
        batches=len(found.batches),
        round_s=round(round_s, 1),
        closed_after_s=closing.after_s,
        lost=verdict.lost,
        double_credits=verdict.double_credits,
        unbalanced=verdict.unbalanced,
        stuck=closing.stuck + drained.stuck,
        problems=[*problems, *verdict.problems],
        strikes=[_describe(strike) for strike in struck],
    )


async def _await_closing(store: SettlementStore, in_flight: InFlight, order_count: int) -> Closing:
    """Wait until everything is done. Go on after the deadline, to distinguish a slow round from one that never ends."""
    started_s = time.monotonic()
    stuck = 0
    while not await _is_done(store, in_flight, order_count):
        after_s = time.monotonic() - started_s
        if after_s > STUCK_S and not stuck:
            stuck = max(1, await _count_unclosed(store))
        if after_s > GIVE_UP_S:
            break
        await asyncio.sleep(POLL_S)
    return Closing(round(time.monotonic() - started_s, 1), stuck)


async def _is_done(store: SettlementStore, in_flight: InFlight, order_count: int) -> bool:
    """Return whether all records are committed, all batches are final and all outcomes are delivered."""
    try:
        batches = await store.batches.fetch_batches(limits.BATCH_LIST_COUNT_MAX)
        return (
            sum(batch.item_count for batch in batches) >= order_count
            and all(batch.state in FINAL_STATES for batch in batches)
            and not await in_flight.count_uncommitted(list(range(limits.TOPIC_PARTITION_COUNT)))
            and not await in_flight.count_undelivered()
        )
    except AWAY:  # a server is still recovering
        return False


async def _count_unclosed(store: SettlementStore) -> int:
    batches = await store.batches.fetch_batches(limits.BATCH_LIST_COUNT_MAX)
    return sum(batch.state not in FINAL_STATES for batch in batches)


async def _stop(installation: Installation, names: Iterable[str]) -> list[str]:
    """Stop some of Settle's processes gracefully. Return a sentence for each that did not stop so."""
    stopping = [asyncio.to_thread(installation.processes[name].stop) for name in names]
    stopped = await asyncio.gather(*stopping, return_exceptions=True)
    return [str(each) for each in stopped if each is not None]


def _count_hits(struck: list[Strike]) -> int:
    return sum(bool(strike.in_flight) for strike in struck)


def _hit_problems(struck: list[Strike]) -> list[str]:
    hits = _count_hits(struck)
    return (
        [] if hits >= HIT_COUNT_MIN else [f"only {hits} faults hit work in flight, but at least {HIT_COUNT_MIN} must"]
    )


def _describe(strike: Strike) -> dict[str, object]:
    happened = {"struck_s": strike.struck_s, "recovered_s": strike.recovered_s, "in_flight": strike.in_flight}
    return strike.fault._asdict() | happened | {"what": WHAT[strike.fault.role]}
