"""Observation of processes and PostgreSQL during a run."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg
from psycopg.rows import scalar_row

_INTERVAL_S = 0.1
_FETCH_LONGEST_QUERY_S = (Path(__file__).with_name("sql") / "fetch_longest_query_s.sql").read_bytes()


class Observed(NamedTuple):
    """The processes' largest total memory and the longest statement, each as sampled."""

    rss_bytes_max: int
    query_s_max: float


class Observer:
    """Samples ten times a second in its own thread. A context manager."""

    def __init__(self, database_url: str, pids: Sequence[int]) -> None:
        self._database_url = database_url
        self._processes = [psutil.Process(pid) for pid in pids]
        self._observed = Observed(0, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._observe)

    def __enter__(self) -> "Observer":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def observed(self) -> Observed:
        """The maxima so far."""
        return self._observed

    def _observe(self) -> None:
        with psycopg.connect(self._database_url, autocommit=True, row_factory=scalar_row) as connection:
            while not self._ended.wait(_INTERVAL_S):
                rss_bytes = sum(process.memory_info().rss for process in self._processes)
                query_s = connection.execute(_FETCH_LONGEST_QUERY_S).fetchone() or 0
                self._observed = Observed(
                    max(self._observed.rss_bytes_max, rss_bytes), max(self._observed.query_s_max, query_s)
                )
