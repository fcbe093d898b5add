"""The ledger's own proof, an optional part of the Fund Platform's contract.

The methods raise `NotSupportedError` if the platform cannot serve them.
"""

from typing import Protocol

from schemas.audit import Break
from schemas.ledger import LedgerCredit
from schemas.order_life import CreditLife


class LedgerProof(Protocol):
    """Reads of the ledger in key order, and checks of it against itself."""

    async def fetch_credits(self, after_key: str, credit_count_max: int) -> list[LedgerCredit]:
        """Read the next credits from the ledger's postings, ordered by key in code point order; for the audit.

        A key's postings are combined into one credit: their sum, the smallest account id and currency, and the time of
        the first entry (the epoch if that entry is missing).

        Args:
            after_key: the last key of the previous slice; the empty string for the first slice.
            credit_count_max: the slice's bound.
        """

    async def fetch_credit_life(self, idempotency_key: str) -> CreditLife:
        """Read a key's stored answer and its postings, ordered by journal entry.

        One snapshot. A key that was never requested has neither.
        """

    async def fetch_ledger_breaks(self, break_count_max: int) -> list[Break]:
        """Check the ledger against itself, reading all of it; return at most `break_count_max` breaks of each kind.

        A break's id is an account id for `balance_off`, else a key, or an entry id if there is no key. The kinds:

        - `unbalanced_entry`: the postings of an entry do not sum to zero per currency.
        - `balance_off`: an account's balance is not the sum of its postings.
        - `posting_without_entry`: the journal entry of a posting does not exist.
        - `entry_without_posting`: a journal entry has no posting.
        - `posting_without_account`: no account has the id and the currency of a customer's posting.
        - `answer_without_posting`: a stored `created` has no posting.
        - `posting_without_answer`: a customer's posting has no stored `created`.
        - `posting_differs_from_answer`: account, amount or currency differ.
        - `duplicate_credit`: a key has more than one posting.
        """
