"""The ledger's own proof in memory."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice

from fund_platform.port.accounts import FUNDING_ACCOUNT_PREFIX
from schemas.audit import Break
from schemas.ledger import CreditResultCode, LedgerCredit
from schemas.order_life import CreditAnswer, CreditLife, CreditPosting
from tests.doubles.fund_platform.ledger_state import FundPlatformState, Posting


class MemoryLedgerProof:
    """`LedgerProof` in memory."""

    def __init__(self, state: FundPlatformState) -> None:
        self.state = state

    async def fetch_credits(self, after_key: str, credit_count_max: int) -> list[LedgerCredit]:
        by_key = self.state.postings_by_key()
        keys = islice((key for key in sorted(by_key) if key > after_key), credit_count_max)
        return [self.state.credit_of(key, by_key[key]) for key in keys]

    async def fetch_credit_life(self, idempotency_key: str) -> CreditLife:
        stored = self.state.answers.get(idempotency_key)
        postings = self.state.postings_by_key().get(idempotency_key, [])
        return CreditLife(
            answer=CreditAnswer(result_code=stored.code, **stored.request._asdict()) if stored else None,
            postings=[self._posting_of(posting) for posting in sorted(postings, key=lambda each: each.entry_id)],
        )

    async def fetch_ledger_breaks(self, break_count_max: int) -> list[Break]:
        checks = (self._entry_breaks, self._balance_breaks, self._posting_breaks, self._answer_breaks)
        by_kind: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
        for check in checks:
            for found in check():
                by_kind[found[0]].append(found)
        found_first = sorted(found for kind in by_kind for found in by_kind[kind][:break_count_max])
        return [Break(kind=kind, id=break_id, detail=detail) for kind, break_id, detail in found_first]

    def _posting_of(self, posting: Posting) -> CreditPosting:
        entry = self.state.entries.get(posting.entry_id)
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
        for posting in self.state.postings:
            sums[posting.entry_id, posting.currency] += posting.amount_minor
        for (entry_id, currency), total in sums.items():
            if total:
                yield "unbalanced_entry", str(entry_id), f"The postings in {currency} sum to {total} instead of 0."
        for entry_id in self.state.entries.keys() - {entry_id for entry_id, _ in sums}:
            yield "entry_without_posting", str(entry_id), "The entry has no posting."

    def _balance_breaks(self) -> Iterator[tuple[str, str, str]]:
        sums: defaultdict[tuple[str, str], int] = defaultdict(int)
        for posting in self.state.postings:
            sums[posting.account_id, posting.currency] += posting.amount_minor
        for account in self.state.account_by_id.values():
            total = sums[account.account_id, account.currency]
            if account.balance_minor != total:
                detail = f"The balance is {account.balance_minor}, but the postings sum to {total}."
                yield "balance_off", account.account_id, detail

    def _posting_breaks(self) -> Iterator[tuple[str, str, str]]:
        for posting in self.state.postings:
            name = posting.idempotency_key or str(posting.entry_id)
            if posting.entry_id not in self.state.entries:
                yield "posting_without_entry", name, f"{posting} names an entry that does not exist."
            if posting.account_id.startswith(FUNDING_ACCOUNT_PREFIX):
                continue
            account = self.state.account_by_id.get(posting.account_id)
            if account is None or account.currency != posting.currency:
                yield "posting_without_account", name, f"{posting} names an account that does not exist."
            stored = self.state.answers.get(posting.idempotency_key or "")
            if stored is None or stored.code is not CreditResultCode.CREATED:
                yield "posting_without_answer", name, f"{posting} has no stored answer that it was created."
            elif stored.request[2:] != posting[1:4]:
                yield "posting_differs_from_answer", name, f"{posting} differs from {stored.request}."

    def _answer_breaks(self) -> Iterator[tuple[str, str, str]]:
        by_key = self.state.postings_by_key()
        for key, stored in self.state.answers.items():
            if stored.code is CreditResultCode.CREATED and key not in by_key:
                yield "answer_without_posting", key, f"{stored.request} was created, but no posting has its key."
        for key, postings in by_key.items():
            if len(postings) > 1:
                yield "duplicate_credit", key, f"The key has {len(postings)} postings."
