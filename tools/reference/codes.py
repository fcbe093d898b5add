"""The page on exit codes and reason codes."""

from schemas.wire.reasons import REASON_SENTENCES, Outcome, ReasonCode
from settling.crediting import EXCEPTION_BY_CODE
from starters.exit_codes import EXIT_CODE_SENTENCES
from tools.reference.markdown import page, table

_EXIT_CODES = """
The codes are the same for every command. The command decides what counts as bad (1):

- `settle run --wait` and `settle rerun --wait`: an order failed or is held, the batch is paused, aborted or out of
  balance, or its workflow failed. Rejected orders alone give 0.
- `settle run` and `settle rerun`: no batch was opened, since too many are not closed.
- `settle audit`: a break was found.
- `settle import`: the file has bad rows. The other rows are loaded.
- `settle prune`: a batch is out of balance.
- `settle stack status`: a part of the stack is down.
- Any command: a system cannot store or read the data until somebody repairs them.
"""
_REASON_CODES = """
Every exception item has one reason code. Rules are checked in the order of their numbers, and the first that fails
gives the code. The [glossary](../glossary.md#the-order-of-the-rules) says what each rule compares. A program may rely
on the codes: none changes its meaning. New ones may be added.
"""
_AFTER_REASON_CODES = """
`DATA_ERROR` also comes from validation, if the order's data make it fail. A held item keeps its claim until a rerun
takes it. The rerun requests an `OUTCOME_UNKNOWN` item again, under the same key and with the same payload. It
validates a `NOT_ATTEMPTED` item anew.
"""
_HELD_BY = {
    ReasonCode.OUTCOME_UNKNOWN: "a chunk that requested credits and got no answer: it ended early, or waited for "
    "`SETTLE_CREDIT_DEADLINE_S`",
    ReasonCode.NOT_ATTEMPTED: "a chunk that was held before its validation was stored, or whose validation used up its "
    "probes",
}


def codes_page() -> str:
    """Return the page."""
    exit_codes = table(["code", "means"], ([f"`{code}`", text] for code, text in EXIT_CODE_SENTENCES.items()))
    reason_codes = table(["code", "means", "outcome", "given by"], map(_reason_row, ReasonCode))
    return page(
        "Exit codes and reason codes",
        *("## Exit codes", exit_codes, _EXIT_CODES),
        *("## Reason codes", _REASON_CODES, reason_codes, _AFTER_REASON_CODES),
    )


def _reason_row(reason: ReasonCode) -> list[str]:
    outcome, given_by = _origin_of(reason)
    return [f"`{reason}`", REASON_SENTENCES[reason], outcome, given_by]


def _origin_of(reason: ReasonCode) -> tuple[Outcome, str]:
    for code, (outcome, given) in EXCEPTION_BY_CODE.items():
        if given == reason:
            return outcome, f"the Fund Platform's answer `{code}`"
    if reason in _HELD_BY:
        return Outcome.HELD, _HELD_BY[reason]
    return Outcome.REJECTED, f"rule {list(ReasonCode).index(reason) + 1}"
