"""Credits on PostgreSQL."""

import asyncio
from collections.abc import Mapping, Sequence, Set

import asyncpg

from database.access import Database
from database.columns import integer_column, text_column
from database.pools import Connection, look_up_by_index
from database.queries import load_query
from domain import limits
from domain.control_totals import totals_of
from domain.errors import InvariantViolationError, SettleError
from fund_platform.port.credits import check_credit_requests
from schemas.ledger import CreditRequest, CreditResultCode, LedgerCredit
from schemas.next_steps import AUDIT
from schemas.tables import columns_of
from schemas.wire.totals import ControlTotals

_POST_NEW_CREDITS = load_query("fund_platform.postgres", "post_new_credits")
_POST_CREDITS = load_query("fund_platform.postgres", "post_credits")
_REFUSE_CREDITS = load_query("fund_platform.postgres", "refuse_credits")
_WITHDRAW_CREDITS = load_query("fund_platform.postgres", "withdraw_credits")
_FETCH_ANSWERS = load_query("fund_platform.postgres", "fetch_answers")
_FETCH_CREDIT_TOTALS = load_query("fund_platform.postgres", "fetch_credit_totals")
_FETCH_CREDITS_OF = load_query("fund_platform.postgres", "fetch_credits_of")


class _KeyTakenError(SettleError):
    """A key already has an answer or a posting that the statement assumes it has not; nothing was changed."""


class PostgresCredits:
    """`Credits` on PostgreSQL. Each call is a few set-based statements in one transaction.

    A call creates one journal entry with a credit posting for each credited request and a debit posting of the funding
    account for each currency.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # Concurrent calls contend for accounts that many orders share: each waits for the one before it, and must then
        # re-read every row that the other changed.
        self._crediting = asyncio.Semaphore(limits.CREDIT_CALLS_AT_A_TIME)

    async def post_credits(self, reference: str, requests: Sequence[CreditRequest]) -> Mapping[str, CreditResultCode]:
        # One statement does all the work if every request can be created; one more stores the refusals. If a key was
        # answered before, that transaction is rolled back. Another statement then handles all keys, and one more reads
        # the stored answers.
        check_credit_requests(requests)
        if not requests:
            return {}
        async with self._crediting:
            try:
                return await self._post_credits(_POST_NEW_CREDITS, reference, requests)
            except _KeyTakenError:
                pass
            try:
                return await self._post_credits(_POST_CREDITS, reference, requests)
            except _KeyTakenError as error:
                raise InvariantViolationError(
                    f"Could not post the credits of {reference}: the ledger has a posting without a stored answer for "
                    f"one of them. {error} Nothing was posted. Run an audit to find the cause.",
                    AUDIT,
                ) from error

    async def _post_credits(
        self, query: str, reference: str, requests: Sequence[CreditRequest]
    ) -> dict[str, CreditResultCode]:
        # READ COMMITTED is required: a statement must see the rows committed while the previous statement waited.
        async with self._database.transaction("read_committed") as connection:
            await look_up_by_index(connection)
            try:
                rows = await connection.fetch(query, reference, *_text_of(requests))
            except asyncpg.UniqueViolationError as error:
                raise _KeyTakenError(error.detail or "") from error
            keys, *_ = columns_of(CreditRequest, requests)
            answers = dict.fromkeys(keys, CreditResultCode.CREATED)
            if refused := {key: CreditResultCode(code) for key, code in rows if code}:
                of_refused = _with_keys(requests, refused.keys())
                codes = text_column([refused[request.idempotency_key] for request in of_refused])
                await connection.execute(_REFUSE_CREDITS, *_text_of(of_refused), codes)
                answers.update(refused)
            if answered_before := {key for key, code in rows if code is None}:
                answers.update(await _fetch_answers(connection, requests, answered_before))
        return answers

    async def withdraw_credits(
        self, reference: str, requests: Sequence[CreditRequest]
    ) -> Mapping[str, CreditResultCode]:
        check_credit_requests(requests)
        if not requests:
            return {}
        # READ COMMITTED is required, as in `post_credits`.
        async with self._database.transaction("read_committed") as connection:
            rows = await connection.fetch(_WITHDRAW_CREDITS, *_text_of(requests))
            answered_before = {row["idempotency_key"] for row in rows}
            answers = dict.fromkeys((request.idempotency_key for request in requests), CreditResultCode.WITHDRAWN)
            await _require_no_posting(connection, reference, answers.keys() - answered_before)
            if answered_before:
                answers.update(await _fetch_answers(connection, requests, answered_before))
        return answers

    async def fetch_credit_totals(self, idempotency_keys: Sequence[str]) -> ControlTotals:
        async with self._database.reading_by_index() as connection:
            rows = await connection.fetch(_FETCH_CREDIT_TOTALS, text_column(idempotency_keys))
            return totals_of((row["currency"], row["order_count"], row["amount_minor"]) for row in rows)

    async def fetch_credits_of(self, idempotency_keys: Sequence[str]) -> list[LedgerCredit]:
        async with self._database.reading_by_index() as connection:
            rows = await connection.fetch(_FETCH_CREDITS_OF, idempotency_keys)
            return [LedgerCredit(*row) for row in rows]


async def _require_no_posting(connection: Connection, reference: str, withdrawn_keys: Set[str]) -> None:
    await look_up_by_index(connection)
    if await connection.fetch(_FETCH_CREDIT_TOTALS, text_column(list(withdrawn_keys))):
        raise InvariantViolationError(
            f"Could not withdraw the credits of {reference}: the ledger has a posting without a stored answer for one "
            "of them. Nothing was withdrawn. Run an audit to find the cause.",
            AUDIT,
        )


async def _fetch_answers(
    connection: Connection, requests: Sequence[CreditRequest], keys: Set[str]
) -> dict[str, CreditResultCode]:
    """Return the stored answers to the requests with these keys, which are locked and can no longer change."""
    rows = await connection.fetch(_FETCH_ANSWERS, *_text_of(_with_keys(requests, keys)))
    if len(rows) != len(keys):
        raise InvariantViolationError(
            f"{len(keys) - len(rows)} keys were answered before, but their answers are missing. Nothing was posted. "
            "Run an audit to find the cause.",
            AUDIT,
        )
    return {row["idempotency_key"]: CreditResultCode(row["result_code"]) for row in rows}


def _text_of(requests: Sequence[CreditRequest]) -> tuple[str, str, str, str, str]:
    """Return the columns of at least one request, encoded as the statements' arguments."""
    keys, claim_nos, account_ids, amounts_minor, currencies = columns_of(CreditRequest, requests)
    return (
        text_column(keys),
        integer_column(claim_nos),
        text_column(account_ids),
        integer_column(amounts_minor),
        text_column(currencies),
    )


def _with_keys(requests: Sequence[CreditRequest], keys: Set[str]) -> list[CreditRequest]:
    requested, *_ = columns_of(CreditRequest, requests)
    return [requests[place] for place, key in enumerate(requested) if key in keys]
