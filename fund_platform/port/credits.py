"""Credits, the part of the Fund Platform's contract that pays: each at most once per idempotency key."""

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

        What is promised is promised for each request: a credit that is answered `created` is posted for good, in a
        balanced entry. A call that fails may have posted some and not others; asked again, it is answered what became
        of each. Per key the platform keeps the highest claim number that it answered, and the answer:

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
            InvariantViolationError: the ledger contradicts the stored answers.
        """

    async def withdraw_credits(
        self, reference: str, requests: Sequence[CreditRequest]
    ) -> Mapping[str, CreditResultCode]:
        """Refuse credits for good that were not answered yet, and answer every request by its idempotency key.

        Touches no account. After it a request that is still on the wire creates nothing under the same or a lower
        claim number:

        - key unknown, or only refused under a lower claim number: `withdrawn`, which is stored as a refusal;
        - else as `post_credits` answers it: what was credited stays so, a refusal too.

        Args:
            reference: what the credits were for, for people to read.
            requests: as for `post_credits`.

        Raises:
            ValueError: as for `post_credits`.
            InvariantViolationError: the ledger holds a posting under a key without an answer; nothing was withdrawn.
            NotSupportedError: the platform cannot withdraw at all; whoever asks holds the items.
        """

    async def fetch_credit_totals(self, idempotency_keys: Sequence[str]) -> ControlTotals:
        """Add up the credit postings in the ledger that have these keys, by indexed reads.

        A key that is asked for twice is counted once, a key with two postings twice.
        """

    async def fetch_credits_of(self, idempotency_keys: Sequence[str]) -> Sequence[LedgerCredit]:
        """Look up the credits in the ledger that have these keys, in any order, by indexed reads.

        A key's postings are one credit: their sum, the smallest account id and currency, and the time of the
        first entry (the epoch where it is missing). A key without a credit is left out.

        Args:
            idempotency_keys: at most `limits.AUDIT_SLICE_ORDER_COUNT`.
        """


def check_credit_requests(requests: Sequence[CreditRequest]) -> None:
    """Refuse what `post_credits` does not take; every adapter begins with this.

    Raises:
        ValueError: see `Credits.post_credits`.
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
