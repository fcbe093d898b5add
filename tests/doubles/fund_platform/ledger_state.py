"""The state of the Fund Platform in memory, which all its parts share."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from schemas.ledger import Account, CreditRequest, CreditResultCode, LedgerCredit

_EPOCH = datetime.fromtimestamp(0, UTC)


class StoredAnswer(NamedTuple):
    """The answer to the request with the highest claim number seen for a key: `created` or a refusal."""

    request: CreditRequest
    code: CreditResultCode


class JournalEntry(NamedTuple):
    """The purpose and time of a set of postings."""

    reference: str
    posted_at: datetime


class Posting(NamedTuple):
    """One line of the ledger; a funding account's line has no key."""

    entry_id: int
    account_id: str
    amount_minor: int
    currency: str
    idempotency_key: str | None


class FundPlatformState:
    """Accounts, answers and a ledger in dictionaries and lists."""

    def __init__(self) -> None:
        self.account_by_id: dict[str, Account] = {}
        self.answers: dict[str, StoredAnswer] = {}
        self.entries: dict[int, JournalEntry] = {}
        self.postings: list[Posting] = []

    def set_account(self, account: Account, **changes: object) -> Account:
        """Change an account and return it."""
        self.account_by_id[account.account_id] = account.model_copy(update=changes)
        return self.account_by_id[account.account_id]

    def postings_by_key(self) -> dict[str, list[Posting]]:
        """Return the postings that credit customers, by key."""
        by_key: defaultdict[str, list[Posting]] = defaultdict(list)
        for posting in self.postings:
            if posting.idempotency_key is not None:
                by_key[posting.idempotency_key].append(posting)
        return by_key

    def credit_of(self, key: str, postings: Sequence[Posting]) -> LedgerCredit:
        """Combine a key's postings into one credit."""
        entry = self.entries.get(min(posting.entry_id for posting in postings))
        return LedgerCredit(
            idempotency_key=key,
            account_id=min(posting.account_id for posting in postings),
            currency=min(posting.currency for posting in postings),
            amount_minor=sum(posting.amount_minor for posting in postings),
            posting_count=len(postings),
            posted_at=entry.posted_at if entry else _EPOCH,
        )
