"""Credits, a part of the Fund Platform's contract: each is posted at most once per idempotency key."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from domain import limits
from schemas.ledger import CreditRequest, CreditResultCode, LedgerCredit
from schemas.tables import columns_of
from schemas.wire.totals import ControlTotals


class Credits(Protocol):
    """Credits, posted at most once per idempotency key, and looked up by it."""

    async def post_credits(self, reference: str, requests: Sequence[CreditRequest]) -> Mapping[str, CreditResultCode]:
        """Post credits, each at most once, and answer every request by its idempotency key.

        The guarantees apply to each request: a credit that is answered `created` is posted for good, in a balanced
        journal entry. A call that fails may have posted some credits and not others. If it is repeated, the answers say
        what happened to each. For each key the platform keeps the highest claim number that it answered, and the
        answer:

        - key unknown, or only refused or withdrawn under a lower claim number: the request is judged now. The answer is
          `created` or a refusal, which is stored (`account_not_found`, `account_closed`, `currency_mismatch`);
        - credited before: `exists`, or `exists_with_different_payload` if account, amount or currency differ;
        - refused or withdrawn under this claim number: the stored refusal;
        - refused or withdrawn under a higher claim number: `superseded`.

        Args:
            reference: what the journal entry is for, for people to read.
            requests: at most `limits.CHUNK_SIZE_MAX`, each key once, amounts and claim numbers over zero.

        Raises:
            ValueError: the requests break these rules; none was processed.
            InvariantViolationError: the ledger contradicts the stored answers.
        """

    async def withdraw_credits(
        self, reference: str, requests: Sequence[CreditRequest]
    ) -> Mapping[str, CreditResultCode]:
        """Refuse for good credits that were not answered yet, and answer every request by its idempotency key.

        No account is read or changed. A request that is still on the network afterwards creates nothing under the same
        or a lower claim number:

        - key unknown, or only refused or withdrawn under a lower claim number: `withdrawn`, stored as a refusal;
        - otherwise the answer of `post_credits`: a stored credit or refusal does not change.

        Args:
            reference: what the credits were for, for people to read.
            requests: as for `post_credits`.

        Raises:
            ValueError: as for `post_credits`.
            InvariantViolationError: the ledger has a posting under a key without an answer; nothing was withdrawn.
            NotSupportedError: the platform cannot withdraw credits at all; the caller holds the items.
        """

    async def fetch_credit_totals(self, idempotency_keys: Sequence[str]) -> ControlTotals:
        """Add up the ledger's credit postings that have these keys, by indexed reads.

        A key that is given twice counts once; a key with two postings counts twice.
        """

    async def fetch_credits_of(self, idempotency_keys: Sequence[str]) -> Sequence[LedgerCredit]:
        """Look up the ledger's credits that have these keys, in any order, by indexed reads.

        A key's postings are combined into one credit: their sum, the smallest account id and currency, and the time of
        the first entry (the epoch if that entry is missing). A key without a credit is left out.

        Args:
            idempotency_keys: at most `limits.AUDIT_SLICE_ORDER_COUNT`.
        """


def check_credit_requests(requests: Sequence[CreditRequest]) -> None:
    """Refuse requests that `post_credits` does not accept; every adapter calls this first.

    Raises:
        ValueError: see `Credits.post_credits`.
    """
    if len(requests) > limits.CHUNK_SIZE_MAX:
        raise ValueError(f"{len(requests)} credits were requested in one call; the limit is {limits.CHUNK_SIZE_MAX}.")
    keys, claim_nos, _, amounts_minor, _ = columns_of(CreditRequest, requests)
    if min(amounts_minor, default=1) <= 0 or min(claim_nos, default=1) <= 0:
        request = next(request for request in requests if request.amount_minor <= 0 or request.claim_no <= 0)
        raise ValueError(f"The amount and the claim number of key {request.idempotency_key} must be over 0: {request}.")
    if len(set(keys)) < len(keys):
        [(key, _)] = Counter(keys).most_common(1)
        raise ValueError(f"Key {key} was given twice in one call. Request each credit once.")
