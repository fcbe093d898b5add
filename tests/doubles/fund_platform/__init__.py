"""The Fund Platform in memory, for tests. What the methods guarantee stands in `fund_platform.port`."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple, Self

from domain.control_totals import totals_of
from domain.errors import AccountNotFoundError, InvariantViolationError
from fund_platform.port.accounts import HOUSE_ACCOUNT_PREFIX, check_account_openings
from fund_platform.port.credits import check_credit_requests
from schemas.batches import ControlTotals
from schemas.ledger import Account, AccountOpening, CreditRequest, CreditResultCode, LedgerCredit
from schemas.order_life import CreditAnswer, CreditLife, CreditPosting

_EPOCH = datetime.fromtimestamp(0, UTC)


class StoredAnswer(NamedTuple):
    """The answer to the request with the highest claim number seen for a key; only `created` or a refusal."""

    request: CreditRequest
    code: CreditResultCode


class JournalEntry(NamedTuple):
    """What a set of postings is for."""

    reference: str
    posted_at: datetime


class Posting(NamedTuple):
    """One line of the ledger; the house's has no key."""

    entry_id: int
    account_id: str
    amount_minor: int
    currency: str
    idempotency_key: str | None


class MemoryFundPlatform:
    """Accounts, answers and a ledger in dictionaries and lists, which tests may look into and break.

    Each method runs to its end without awaiting, so none sees another's half.
    """

    def __init__(self) -> None:
        self.account_by_id: dict[str, Account] = {}
        self.answers: dict[str, StoredAnswer] = {}
        self.entries: dict[int, JournalEntry] = {}
        self.postings: list[Posting] = []

    @property
    def accounts(self) -> Self:
        """Itself: it has all parts of the port."""
        return self

    credits = proof = accounts

    async def open_accounts(self, openings: Sequence[AccountOpening]) -> None:
        """See `FundPlatform.open_accounts`."""
        check_account_openings(openings)
        for account_id, currency in openings:
            account = Account(account_id=account_id, currency=currency, balance_minor=0, closed_at=None)
            self.account_by_id.setdefault(account_id, account)

    async def fetch_account(self, account_id: str) -> Account:
        """See `FundPlatform.fetch_account`."""
        if account_id not in self.account_by_id:
            raise AccountNotFoundError(f"The Fund Platform has no account {account_id}. Check its id.")
        return self.account_by_id[account_id]

    async def close_account(self, account_id: str) -> Account:
        """See `FundPlatform.close_account`."""
        account = await self.fetch_account(account_id)
        return self._replace_account(account, closed_at=account.closed_at or datetime.now(UTC))

    async def reopen_account(self, account_id: str) -> Account:
        """See `FundPlatform.reopen_account`."""
        return self._replace_account(await self.fetch_account(account_id), closed_at=None)

    async def post_credits(self, reference: str, requests: Sequence[CreditRequest]) -> Mapping[str, CreditResultCode]:
        """See `FundPlatform.post_credits`."""
        check_credit_requests(requests)
        answers = self._answer(requests, self._judge)
        created = [request for request in requests if answers[request.idempotency_key] is CreditResultCode.CREATED]
        if created:
            self._post(reference, created)
        return answers

    async def withdraw_credits(
        self, reference: str, requests: Sequence[CreditRequest]
    ) -> Mapping[str, CreditResultCode]:
        """See `FundPlatform.withdraw_credits`."""
        check_credit_requests(requests)
        posted_keys = self._postings_by_key().keys()
        if any(not self._is_answered(request) and request.idempotency_key in posted_keys for request in requests):
            raise InvariantViolationError(f"A posting that no stored answer knows of is among those of {reference}.")
        return self._answer(requests, lambda _: CreditResultCode.WITHDRAWN)

    async def fetch_credit_totals(self, idempotency_keys: Sequence[str]) -> ControlTotals:
        """See `FundPlatform.fetch_credit_totals`."""
        wanted = set(idempotency_keys)
        return totals_of((p.currency, 1, p.amount_minor) for p in self.postings if p.idempotency_key in wanted)

    async def fetch_credits(self, after_key: str, credit_count_max: int) -> list[LedgerCredit]:
        """See `FundPlatform.fetch_credits`."""
        by_key = self._postings_by_key()
        keys = islice((key for key in sorted(by_key) if key > after_key), credit_count_max)
        return [self._credit_of(key, by_key[key]) for key in keys]

    async def fetch_credit_life(self, idempotency_key: str) -> CreditLife:
        """See `FundPlatform.fetch_credit_life`."""
        stored = self.answers.get(idempotency_key)
        postings = self._postings_by_key().get(idempotency_key, [])
        return CreditLife(
            answer=CreditAnswer(result_code=stored.code, **stored.request._asdict()) if stored else None,
            postings=[self._posting_of(posting) for posting in sorted(postings, key=lambda each: each.entry_id)],
        )

    async def fetch_ledger_breaks(self, break_count_max: int) -> list[tuple[str, str, str]]:
        """See `FundPlatform.fetch_ledger_breaks`."""
        checks = (self._entry_breaks, self._balance_breaks, self._posting_breaks, self._answer_breaks)
        by_kind: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
        for check in checks:
            for found in check():
                by_kind[found[0]].append(found)
        return sorted(found for kind in by_kind for found in by_kind[kind][:break_count_max])

    def _replace_account(self, account: Account, **changes: object) -> Account:
        self.account_by_id[account.account_id] = account.model_copy(update=changes)
        return self.account_by_id[account.account_id]

    def _answer(
        self, requests: Sequence[CreditRequest], judge: Callable[[CreditRequest], CreditResultCode]
    ) -> dict[str, CreditResultCode]:
        """Answer from what is stored, or judge and store that: keys that are new or refused under a lower claim."""
        answers: dict[str, CreditResultCode] = {}
        for request in requests:
            key = request.idempotency_key
            if self._is_answered(request):
                answers[key] = _repeat_answer(self.answers[key], request)
            else:
                answers[key] = judge(request)
                self.answers[key] = StoredAnswer(request, answers[key])
        return answers

    def _is_answered(self, request: CreditRequest) -> bool:
        stored = self.answers.get(request.idempotency_key)
        return stored is not None and (
            stored.code is CreditResultCode.CREATED or stored.request.claim_no >= request.claim_no
        )

    def _judge(self, request: CreditRequest) -> CreditResultCode:
        account = self.account_by_id.get(request.account_id)
        if account is None:
            return CreditResultCode.ACCOUNT_NOT_FOUND
        if account.closed_at is not None:
            return CreditResultCode.ACCOUNT_CLOSED
        if account.currency != request.currency:
            return CreditResultCode.CURRENCY_MISMATCH
        return CreditResultCode.CREATED

    def _post(self, reference: str, credits_: Sequence[CreditRequest]) -> None:
        entry_id = len(self.entries) + 1
        self.entries[entry_id] = JournalEntry(reference, datetime.now(UTC))
        due_by_currency: defaultdict[str, int] = defaultdict(int)
        for key, _, account_id, amount_minor, currency in credits_:
            self.postings.append(Posting(entry_id, account_id, amount_minor, currency, key))
            account = self.account_by_id[account_id]
            self._replace_account(account, balance_minor=account.balance_minor + amount_minor)
            due_by_currency[currency] += amount_minor
        for currency, amount_minor in due_by_currency.items():
            self.postings.append(Posting(entry_id, HOUSE_ACCOUNT_PREFIX + currency, -amount_minor, currency, None))

    def _postings_by_key(self) -> dict[str, list[Posting]]:
        by_key: defaultdict[str, list[Posting]] = defaultdict(list)
        for posting in self.postings:
            if posting.idempotency_key is not None:
                by_key[posting.idempotency_key].append(posting)
        return by_key

    def _credit_of(self, key: str, postings: Sequence[Posting]) -> LedgerCredit:
        entry = self.entries.get(min(posting.entry_id for posting in postings))
        return LedgerCredit(
            idempotency_key=key,
            account_id=min(posting.account_id for posting in postings),
            currency=min(posting.currency for posting in postings),
            amount_minor=sum(posting.amount_minor for posting in postings),
            posting_count=len(postings),
            posted_at=entry.posted_at if entry else _EPOCH,
        )

    def _posting_of(self, posting: Posting) -> CreditPosting:
        entry = self.entries.get(posting.entry_id)
        return CreditPosting(
            entry_id=posting.entry_id,
            reference=entry.reference if entry else None,
            posted_at=entry.posted_at if entry else None,
            account_id=posting.account_id,
            amount_minor=posting.amount_minor,
            currency=posting.currency,
        )

    def _entry_breaks(self) -> Iterator[tuple[str, str, str]]:
        sums: defaultdict[tuple[int, str], int] = defaultdict(int)
        for posting in self.postings:
            sums[posting.entry_id, posting.currency] += posting.amount_minor
        for (entry_id, currency), total in sums.items():
            if total:
                yield "unbalanced_entry", str(entry_id), f"The postings in {currency} sum to {total} instead of 0."
        for entry_id in self.entries.keys() - {entry_id for entry_id, _ in sums}:
            yield "entry_without_posting", str(entry_id), "The entry has no posting."

    def _balance_breaks(self) -> Iterator[tuple[str, str, str]]:
        sums: defaultdict[tuple[str, str], int] = defaultdict(int)
        for posting in self.postings:
            sums[posting.account_id, posting.currency] += posting.amount_minor
        for account in self.account_by_id.values():
            total = sums[account.account_id, account.currency]
            if account.balance_minor != total:
                detail = f"The balance is {account.balance_minor}, but the postings sum to {total}."
                yield "balance_off", account.account_id, detail

    def _posting_breaks(self) -> Iterator[tuple[str, str, str]]:
        for posting in self.postings:
            name = posting.idempotency_key or str(posting.entry_id)
            if posting.entry_id not in self.entries:
                yield "posting_without_entry", name, f"{posting} names an entry that does not exist."
            if posting.account_id.startswith(HOUSE_ACCOUNT_PREFIX):
                continue
            account = self.account_by_id.get(posting.account_id)
            if account is None or account.currency != posting.currency:
                yield "posting_without_account", name, f"{posting} names an account that does not exist."
            stored = self.answers.get(posting.idempotency_key or "")
            if stored is None or stored.code is not CreditResultCode.CREATED:
                yield "posting_without_answer", name, f"{posting} has no stored answer that it was created."
            elif stored.request[2:] != posting[1:4]:
                yield "posting_differs_from_answer", name, f"{posting} differs from {stored.request}."

    def _answer_breaks(self) -> Iterator[tuple[str, str, str]]:
        by_key = self._postings_by_key()
        for key, stored in self.answers.items():
            if stored.code is CreditResultCode.CREATED and key not in by_key:
                yield "answer_without_posting", key, f"{stored.request} was created, but no posting has its key."
        for key, postings in by_key.items():
            if len(postings) > 1:
                yield "duplicate_credit", key, f"The key has {len(postings)} postings."


def _repeat_answer(stored: StoredAnswer, request: CreditRequest) -> CreditResultCode:
    if stored.code is CreditResultCode.CREATED:
        same = stored.request[2:] == request[2:]
        return CreditResultCode.EXISTS if same else CreditResultCode.EXISTS_WITH_DIFFERENT_PAYLOAD
    return stored.code if stored.request.claim_no == request.claim_no else CreditResultCode.SUPERSEDED
