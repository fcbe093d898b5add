"""Order payloads as one value and as text."""

from schemas.order_payloads import HasPayload, Payload


def payload_of(of: HasPayload) -> Payload:
    """Return the payload of a row or a model."""
    return Payload(of.account_id, of.amount_minor, of.currency)


def describe_payload(of: HasPayload) -> str:
    """Return a payload as text for people."""
    return f"{of.amount_minor:,} minor units of {of.currency} for account {of.account_id}"
