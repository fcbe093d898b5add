"""The load of the replay: a burst of announced orders, slow to read at first, and notices on another topic."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import psycopg

from bench.incident.notices import NOTICES_PER_S, Connection, fetch_handled, send_notices
from bench.incident.observing import Observer
from messaging.announcing import announce
from runtime.kafka import open_producer
from runtime.settings import Settings
from schemas.wire.events import OverdueEvent

QUERY_S = 10
SLOW_S = 25  # a query that begins just before the end still takes `QUERY_S`
NOTICE_COUNT = 40 * NOTICES_PER_S  # sent for longer than queries are slow
_SETTLE_TIMEOUT_S = 80
_NOTICES_TIMEOUT_S = 10
_POLL_INTERVAL_S = 0.2


class OrderFates(NamedTuple):
    """What a design did with the burst's orders.

    `rejected` counts rejections for any reason, because all of the orders are good. `problems` has a sentence for each
    thing that must not happen in either design.
    """

    settled: int
    rejected: int
    paid_twice: int
    problems: tuple[str, ...]


class Design(Protocol):
    """A design with running processes."""

    @property
    def orders_topic(self) -> str:
        """The topic with the orders."""

    @property
    def notices_topic(self) -> str:
        """The topic with the other consumer's notices."""

    @property
    def pids(self) -> Sequence[int]:
        """The pids of the processes that settle."""

    async def wait_until_done(self, order_count: int) -> None:
        """Wait until the fate of that many announced orders is final."""

    def fetch_fates(self) -> OrderFates:
        """Read what became of the orders."""

    def count_rejected_notices(self) -> int:
        """Count the notices that the design rejected."""


class Morning(NamedTuple):
    """A design's figures. `settled_s` starts at the first message. It is None if an order was not settled in time."""

    sent: int
    rejected: int
    lost: int
    settled: int
    paid_twice: int
    process_count: int
    rss_bytes_max: int
    query_s_max: float
    notices_sent: int
    notices_handled: int
    notice_delay_s_median: float | None
    notice_delay_s_max: float | None
    settled_s: float | None
    problems: tuple[str, ...]


async def live_through(settings: Settings, design: Design, events: Sequence[OverdueEvent]) -> Morning:
    """Send the burst and the notices, wait for a bounded time until they are processed, and return the figures."""
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        async with open_producer(settings, idempotent=False) as producer:
            with Observer(settings.database_url, design.pids) as observer:
                _make_slow_from_now(connection)
                notices = asyncio.create_task(send_notices(producer, design.notices_topic, NOTICE_COUNT))
                started_s = time.perf_counter()
                await announce(producer, design.orders_topic, events)
                settled_s = None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SETTLE_TIMEOUT_S):
                        await design.wait_until_done(len(events))
                    settled_s = time.perf_counter() - started_s
                await notices
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_NOTICES_TIMEOUT_S):
                        await _wait_for_notices(connection, design)
        fates = design.fetch_fates()
        handled = fetch_handled(connection, design.notices_topic)
    return Morning(
        sent=len(events),
        rejected=fates.rejected,
        lost=len(events) - fates.settled,
        settled=fates.settled,
        paid_twice=fates.paid_twice,
        process_count=len(design.pids),
        rss_bytes_max=observer.observed.rss_bytes_max,
        query_s_max=observer.observed.query_s_max,
        notices_sent=NOTICE_COUNT,
        notices_handled=handled.notice_count,
        notice_delay_s_median=handled.delay_s_median,
        notice_delay_s_max=handled.delay_s_max,
        settled_s=settled_s if fates.settled == len(events) else None,
        problems=fates.problems,
    )


def _make_slow_from_now(connection: Connection) -> None:
    connection.execute("DELETE FROM incident.slowness")
    connection.execute(
        "INSERT INTO incident.slowness (slow_until, sleep_s) VALUES (now() + make_interval(secs => %s), %s)",
        [SLOW_S, QUERY_S],
    )


async def _wait_for_notices(connection: Connection, design: Design) -> None:
    while True:
        handled = fetch_handled(connection, design.notices_topic)
        if handled.notice_count + design.count_rejected_notices() >= NOTICE_COUNT:
            return
        await asyncio.sleep(_POLL_INTERVAL_S)
