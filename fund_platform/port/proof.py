"""The ledger's own proof, a part of the Fund Platform's contract that a platform may lack: only the audit reads it.

Each method of a platform that lacks it raises `NotSupportedError`.
"""

from typing import Protocol

from schemas.audit import Break
from schemas.ledger import LedgerCredit
from schemas.order_life import CreditLife


class LedgerProof(Protocol):
    """The ledger, read in the order of its keys and against itself."""

    async def fetch_credits(self, after_key: str, credit_count_max: int) -> list[LedgerCredit]:
        """Read the next credits from the ledger's postings, ordered by key in code point order; for the audit.

        A key's postings are one credit: their sum, the smallest account id and currency, and the time of the
        first entry (the epoch where it is missing).

        Args:
            after_key: the last key of the slice before; the empty string for the first one.
            credit_count_max: the slice's bound.
        """

    async def fetch_credit_life(self, idempotency_key: str) -> CreditLife:
        """Read the stored answer of a key and the postings that have it, in the order of their entries.

        One snapshot. A key that was never asked for has neither.
        """

    async def fetch_ledger_breaks(self, break_count_max: int) -> list[Break]:
        """Check the ledger against itself, reading all of it; at most the bound of each kind.

        Kinds: `unbalanced_entry` (postings of an entry do not sum to zero per currency), `balance_off` (an
        account's balance is not the sum of its postings), `posting_without_entry`, `entry_without_posting`,
        `posting_without_account` (none with its id and currency), `answer_without_posting` (a stored `created`
        without its posting), `posting_without_answer` (a customer's posting without a stored `created`),
        `posting_differs_from_answer` (account, amount or currency), `duplicate_credit` (a key with more than
        one posting). The id is an account's for `balance_off`, otherwise a key; an entry's where there is none.
        """
