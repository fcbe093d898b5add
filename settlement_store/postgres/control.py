"""Operator control on PostgreSQL: actions on a batch."""

from database.access import Database
from database.pools import Connection
from database.queries import load_query
from domain import limits
from domain.batch_control import plan_control
from schemas.wire.batches import BatchState
from schemas.wire.control import BatchControl, ControlRequest, StoredControlAction
from settlement_store.postgres.batch_rows import batch_not_found, fetch_batch_no, lock_batch

_FETCH_CONTROL = load_query("settlement_store.postgres", "fetch_control")
_FETCH_CONTROL_ACTIONS = load_query("settlement_store.postgres", "fetch_control_actions")
_SET_CONTROL = load_query("settlement_store.postgres", "set_control")
_STORE_CONTROL_ACTION = load_query("settlement_store.postgres", "store_control_action")


class PostgresControl:
    """`Control` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def control_batch(self, request: ControlRequest) -> BatchControl:
        async with self._database.transaction() as connection:
            locked = await lock_batch(connection, request.batch_id)
            before = await fetch_control_on(connection, request.batch_id)
            after = plan_control(BatchState(locked["state"]), before, request)
            if after.action_no == before.action_no:
                return before
            await connection.execute(
                _SET_CONTROL, locked["batch_no"], after.is_paused, after.is_aborting, after.action_no
            )
            await connection.execute(
                _STORE_CONTROL_ACTION,
                locked["batch_no"],
                after.action_no,
                request.action,
                request.window,
                request.requested_by,
                request.reason,
            )
            return after

    async def fetch_control(self, batch_id: str) -> BatchControl:
        async with self._database.reading() as connection:
            return await fetch_control_on(connection, batch_id)

    async def fetch_control_actions(self, batch_id: str) -> list[StoredControlAction]:
        async with self._database.reading() as connection:
            batch_no = await fetch_batch_no(connection, batch_id)
            rows = await connection.fetch(_FETCH_CONTROL_ACTIONS, batch_no, limits.CONTROL_ACTIONS_SHOWN_MAX)
            return [StoredControlAction(**row) for row in reversed(rows)]


async def fetch_control_on(connection: Connection, batch_id: str) -> BatchControl:
    """Read a batch's control state on the caller's connection.

    Raises:
        BatchNotFoundError: no batch has this id.
    """
    row = await connection.fetchrow(_FETCH_CONTROL, batch_id)
    if row is None:
        raise batch_not_found(batch_id)
    return BatchControl(**row)
