"""What Settle needs of the Fund Platform. This docstring and those of the methods are the contract.

Every method may be called twice, at the same time, and by a process that was thought dead.

A platform without claim numbers can still stand behind this port if it holds a unique idempotency key: an
order is then credited at most once all the same (`exists`, `exists_with_different_payload`). What is lost is
the stored refusal: a request that was refused, delayed on the wire, and let through after the account was
reopened would be judged anew, so that the credit of a rejected item could come to exist. Audit would name it.
Nothing can be withdrawn there: `withdraw_credits` should raise, so that a bad item is held instead of failed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from domain import limits
from domain.tables import columns_of
from schemas.batches import ControlTotals
from schemas.ledger import Account, AccountOpening, CreditRequest, CreditResultCode, LedgerCredit
from schemas.order_life import CreditLife

HOUSE_ACCOUNT_PREFIX = "house:"


class FundPlatform(Protocol):
    """Virtual accounts, credited at most once per idempotency key."""

    async def open_accounts(self, openings: Sequence[AccountOpening]) -> None:
        """Open those accounts that do not exist yet, in one transaction; existing ones stay as they are.

        Args:
            openings: at most `limits.LOAD_ROW_COUNT`.

        Raises:
            ValueError: there are too many, or an account id begins like a house account's.
        """

    async def fetch_account(self, account_id: str) -> Account:
        """Read one account.

        Raises:
            AccountNotFoundError: there is none with this id.
        """

    async def close_account(self, account_id: str) -> Account:
        """Close an account: it takes no more credits. Idempotent.

        Raises:
            AccountNotFoundError: there is none with this id.
        """

    async def reopen_account(self, account_id: str) -> Account:
        """Open a closed account again. Idempotent; refusals already answered stay answered.

        Raises:
            AccountNotFoundError: there is none with this id.
        """

    async def post_credits(self, reference: str, requests: Sequence[CreditRequest]) -> Mapping[str, CreditResultCode]:
        """Post credits, each at most once, and answer every request by its idempotency key.

        Atomic: all effects and stored answers of one call commit together, or none. What is created is one
        balanced journal entry: a credit posting for each request, a debit posting of the house account for
        each currency. Per key the platform keeps the highest claim number that it answered, and the answer:

        - key unknown, or only refused under a lower claim number: judged now; `created`, or a refusal that is
          stored (`account_not_found`, `account_closed`, `currency_mismatch`);
        - credited before: `exists`, or `exists_with_different_payload` if account, amount or currency differ;
        - refused or withdrawn under this claim number: the stored refusal;
        - refused or withdrawn under a higher claim number: `superseded`.

        Args:
            reference: what the journal entry is for, for people to read.
            requests: at most `limits.CHUNK_SIZE_MAX`, each key once, amounts and claim numbers over zero.

        Raises:
            ValueError: the requests are not like that; nothing was looked at.
            InvariantViolationError: the ledger contradicts the stored answers; nothing was posted.
        """

    async def withdraw_credits(
        self, reference: str, requests: Sequence[CreditRequest]
    ) -> Mapping[str, CreditResultCode]:
        """Refuse credits for good that were not answered yet, and answer every request by its idempotency key.

        Atomic, and touches no account. After it a request that is still on the wire creates nothing under the same
        or a lower claim number:

        - key unknown, or only refused under a lower claim number: `withdrawn`, which is stored as a refusal;
        - else as `post_credits` answers it: what was credited stays so, a refusal too.

        Args:
            reference: what the credits were for, for people to read.
            requests: as for `post_credits`.

        Raises:
            ValueError: as for `post_credits`.
            InvariantViolationError: the ledger holds a posting under a key without an answer; nothing was withdrawn.
        """

    async def fetch_credit_totals(self, idempotency_keys: Sequence[str]) -> ControlTotals:
        """Add up the credit postings in the ledger that have these keys, by indexed reads.

        A key that is asked for twice is counted once, a key with two postings twice.
        """

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

    async def fetch_ledger_breaks(self, break_count_max: int) -> list[tuple[str, str, str]]:
        """Check the ledger against itself, reading all of it.

        Returns:
            Rows of (kind, id, detail), at most the bound of each kind.

        Kinds: `unbalanced_entry` (postings of an entry do not sum to zero per currency), `balance_off` (an
        account's balance is not the sum of its postings), `posting_without_entry`, `entry_without_posting`,
        `posting_without_account` (none with its id and currency), `answer_without_posting` (a stored `created`
        without its posting), `posting_without_answer` (a customer's posting without a stored `created`),
        `posting_differs_from_answer` (account, amount or currency), `duplicate_credit` (a key with more than
        one posting). The id is an account's for `balance_off`, otherwise a key; an entry's where there is none.
        """


def check_account_openings(openings: Sequence[AccountOpening]) -> None:
    """Refuse what `open_accounts` does not take; every adapter begins with this.

    Raises:
        ValueError: see `FundPlatform.open_accounts`.
    """
    if len(openings) > limits.LOAD_ROW_COUNT:
        raise ValueError(f"{len(openings)} accounts were to be opened at once; at most {limits.LOAD_ROW_COUNT} can be.")
    for opening in openings:
        if opening.account_id.startswith(HOUSE_ACCOUNT_PREFIX):
            raise ValueError(f"Account {opening.account_id} cannot be opened: {HOUSE_ACCOUNT_PREFIX} is for the house.")


def check_credit_requests(requests: Sequence[CreditRequest]) -> None:
    """Refuse what `post_credits` does not take; every adapter begins with this.

    Raises:
        ValueError: see `FundPlatform.post_credits`.
    """
    if len(requests) > limits.CHUNK_SIZE_MAX:
        raise ValueError(f"{len(requests)} credits were requested at once; at most {limits.CHUNK_SIZE_MAX} can be.")
    keys, claim_nos, _, amounts_minor, _ = columns_of(CreditRequest, requests)
    if min(amounts_minor, default=1) <= 0 or min(claim_nos, default=1) <= 0:
        request = next(request for request in requests if request.amount_minor <= 0 or request.claim_no <= 0)
        raise ValueError(f"Key {request.idempotency_key} needs an amount and a claim number over zero: {request}.")
    if len(set(keys)) < len(keys):
        [(key, _)] = Counter(keys).most_common(1)
        raise ValueError(f"Key {key} comes twice in one call; ask for each credit once.")
