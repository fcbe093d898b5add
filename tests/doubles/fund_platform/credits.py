"""Credits in memory."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from domain.control_totals import totals_of
from domain.errors import InvariantViolationError
from fund_platform.port.accounts import FUNDING_ACCOUNT_PREFIX
from fund_platform.port.credits import check_credit_requests
from schemas.ledger import CreditRequest, CreditResultCode, LedgerCredit
from schemas.wire.totals import ControlTotals
from tests.doubles.fund_platform.ledger_state import FundPlatformState, JournalEntry, Posting, StoredAnswer


class MemoryCredits:
    """`Credits` in memory."""

    def __init__(self, state: FundPlatformState) -> None:
        self.state = state

    async def post_credits(self, reference: str, requests: Sequence[CreditRequest]) -> Mapping[str, CreditResultCode]:
        check_credit_requests(requests)
        to_create = [r for r in requests if not self._is_answered(r) and self._judge(r) is CreditResultCode.CREATED]
        self._require_no_posting(reference, to_create)
        answers = self._answer(requests, self._judge)
        if to_create:
            self._post(reference, to_create)
        return answers

    async def withdraw_credits(
        self, reference: str, requests: Sequence[CreditRequest]
    ) -> Mapping[str, CreditResultCode]:
        check_credit_requests(requests)
        self._require_no_posting(reference, [request for request in requests if not self._is_answered(request)])
        return self._answer(requests, lambda _: CreditResultCode.WITHDRAWN)

    async def fetch_credit_totals(self, idempotency_keys: Sequence[str]) -> ControlTotals:
        wanted = set(idempotency_keys)
        return totals_of((p.currency, 1, p.amount_minor) for p in self.state.postings if p.idempotency_key in wanted)

    async def fetch_credits_of(self, idempotency_keys: Sequence[str]) -> list[LedgerCredit]:
        by_key = self.state.postings_by_key()
        return [self.state.credit_of(key, by_key[key]) for key in set(idempotency_keys) & by_key.keys()]

    def _require_no_posting(self, reference: str, unanswered: Sequence[CreditRequest]) -> None:
        posted_keys = self.state.postings_by_key().keys()
        if any(request.idempotency_key in posted_keys for request in unanswered):
            raise InvariantViolationError(f"The ledger has a posting without a stored answer for one of {reference}.")

    def _answer(
        self, requests: Sequence[CreditRequest], judge: Callable[[CreditRequest], CreditResultCode]
    ) -> dict[str, CreditResultCode]:
        """Return stored answers; judge and store keys that are new or refused under a lower claim number."""
        answers: dict[str, CreditResultCode] = {}
        for request in requests:
            key = request.idempotency_key
            if self._is_answered(request):
                answers[key] = _repeat_answer(self.state.answers[key], request)
            else:
                answers[key] = judge(request)
                self.state.answers[key] = StoredAnswer(request, answers[key])
        return answers

    def _is_answered(self, request: CreditRequest) -> bool:
        stored = self.state.answers.get(request.idempotency_key)
        return stored is not None and (
            stored.code is CreditResultCode.CREATED or stored.request.claim_no >= request.claim_no
        )

    def _judge(self, request: CreditRequest) -> CreditResultCode:
        account = self.state.account_by_id.get(request.account_id)
        if account is None:
            return CreditResultCode.ACCOUNT_NOT_FOUND
        if account.closed_at is not None:
            return CreditResultCode.ACCOUNT_CLOSED
        if account.currency != request.currency:
            return CreditResultCode.CURRENCY_MISMATCH
        return CreditResultCode.CREATED

    def _post(self, reference: str, credits_: Sequence[CreditRequest]) -> None:
        entry_id = len(self.state.entries) + 1
        self.state.entries[entry_id] = JournalEntry(reference, datetime.now(UTC))
        due_by_currency: defaultdict[str, int] = defaultdict(int)
        for key, _, account_id, amount_minor, currency in credits_:
            self.state.postings.append(Posting(entry_id, account_id, amount_minor, currency, key))
            account = self.state.account_by_id[account_id]
            self.state.set_account(account, balance_minor=account.balance_minor + amount_minor)
            due_by_currency[currency] += amount_minor
        for currency, amount_minor in due_by_currency.items():
            self.state.postings.append(
                Posting(entry_id, FUNDING_ACCOUNT_PREFIX + currency, -amount_minor, currency, None)
            )


def _repeat_answer(stored: StoredAnswer, request: CreditRequest) -> CreditResultCode:
    if stored.code is CreditResultCode.CREATED:
        same = stored.request[2:] == request[2:]
        return CreditResultCode.EXISTS if same else CreditResultCode.EXISTS_WITH_DIFFERENT_PAYLOAD
    return stored.code if stored.request.claim_no == request.claim_no else CreditResultCode.SUPERSEDED
