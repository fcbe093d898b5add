"""Payloads of orders, as one value and in words."""

from schemas.order_payloads import HasPayload, Payload


def payload_of(of: HasPayload) -> Payload:
    """The payload that a row or a model has."""
    return Payload(of.account_id, of.amount_minor, of.currency)


def describe_payload(of: HasPayload) -> str:
    """A payload for people to read."""
    return f"{of.amount_minor:,} minor units of {of.currency} for account {of.account_id}"
