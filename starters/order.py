"""`settle order ORDER_ID`: show the whole life of one order in all three systems ("why was I not paid?")."""

import textwrap
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from domain import limits
from domain.identifiers import credit_key
from domain.order_payloads import describe_payload
from runtime.adapters import open_systems
from schemas.order_life import (
    ConflictingOffer,
    CreditLife,
    CurrentRecord,
    OrderItem,
    OrderLife,
)
from schemas.wire.reasons import REASON_SENTENCES
from settling.order_life import fetch_order_life
from starters.console import JsonOption, load_ready_settings, out, print_json, require_id, run_command
from starters.next_steps import word_next_step

OrderArgument = Annotated[
    str, typer.Argument(metavar="ORDER_ID", help="Order id in the Order Center.", callback=require_id)
]

Rows = Sequence[tuple[str, str]]

_NAME_WIDTH = 12


def order(order_id: OrderArgument, as_json: JsonOption = False) -> None:
    """Show the whole life of one order: its record, items, outcomes, conflicting offers and credit.

    The first line says what became of the order.
    """
    life = run_command(_fetch_order_life(order_id))
    if as_json:
        print_json(life)
    else:
        _print_order_life(life)


async def _fetch_order_life(order_id: str) -> OrderLife:
    async with open_systems(await load_ready_settings()) as systems:
        return await fetch_order_life(systems, order_id)


def _print_order_life(life: OrderLife) -> None:
    typer.echo(life.answer)
    for each in life.breaks:
        typer.echo(f"  {each.kind} {each.id}: {each.detail}")
    todo = [life.advice or "", word_next_step(life.next_step) if life.next_step else ""]
    if any(todo):
        typer.echo(" ".join(filter(None, todo)))
    _print_section("Order Center", _record_rows(life.order, life.order_error))
    for item in life.items:
        _print_section(f"Item {item.claim_no} of {life.items[-1].claim_no}", _item_rows(item))
    for conflict in life.conflicts:
        _print_section("Conflicting offer", _conflict_rows(conflict))
    _print_section(f"Fund Platform, {credit_key(life.order_id)}", _credit_rows(life.credit, life.credit_not_looked_at))
    if limits.ORDER_LIFE_ROW_COUNT_MAX in (len(life.items), len(life.conflicts)):
        typer.echo(
            f"\nAt most {limits.ORDER_LIFE_ROW_COUNT_MAX} items and conflicting offers are shown, the newest ones."
        )


def _print_section(title: str, rows: Rows) -> None:
    """Print rows that fit a terminal and can be copied: an id is never broken or padded."""
    typer.echo(f"\n{title}")
    for name, value in rows:
        lines = textwrap.wrap(
            value,
            width=out.width,
            initial_indent=f"  {name:<{_NAME_WIDTH}}",
            subsequent_indent=" " * (2 + _NAME_WIDTH),
            break_long_words=False,
            break_on_hyphens=False,
        )
        typer.echo("\n".join(lines))


def _record_rows(record: CurrentRecord | None, error: str | None) -> Rows:
    if record is None:
        return [("record", f"cannot be read: {error}" if error else "none")]
    version = "not acknowledged, so it is offered" if record.is_offered else "acknowledged"
    return [
        ("due", describe_payload(record)),
        ("paid", f"{record.paid_minor:,}, of which {record.refunded_minor:,} refunded"),
        ("status", record.status),
        ("completed", _time_text(record.completed_at)),
        ("after-sale", f"ends {_time_text(record.after_sale_ends_at)}"),
        ("version", f"{record.version}, {version}"),
    ]


def _item_rows(item: OrderItem) -> Rows:
    chunk = "no chunk yet" if item.chunk_index is None else f"chunk {item.chunk_index}"
    rows = [
        ("batch", f"{item.batch_id} ({item.batch_state})"),
        ("source", f"{item.batch_source}, business date {item.business_date or 'not set until it is frozen'}"),
        ("place", f"item {item.item_no}, {chunk}, claim number {item.claim_no}"),
        ("frozen", describe_payload(item)),
    ]
    if item.inherits_unknown:
        rows.append(("rerun", "asks again for a credit that may exist"))
    rows.append(("outcome", item.outcome + (f" at {_time_text(item.stored_at)}" if item.stored_at else "")))
    if item.reason_code:
        rows.append(("reason", f"{item.reason_code}: {REASON_SENTENCES[item.reason_code]}"))
    if item.detail:
        rows.append(("detail", item.detail))
    return rows


def _conflict_rows(conflict: ConflictingOffer) -> Rows:
    return [
        ("batch", conflict.batch_id),
        ("offered", f"{describe_payload(conflict)}, at {_time_text(conflict.offered_at)}"),
    ]


def _credit_rows(credit: CreditLife, not_looked_at: str | None) -> Rows:
    rows = []
    if credit.answer:
        rows.append(("answer", f"{credit.answer.result_code}, to claim number {credit.answer.claim_no}"))
        rows.append(("asked for", describe_payload(credit.answer)))
    for posting in credit.postings:
        rows.append(("posting", describe_payload(posting)))
        if posting.entry_id is not None:
            at = f" at {_time_text(posting.posted_at)}" if posting.posted_at else ", which is missing"
            rows.append(("entry", f"{posting.entry_id}{at}{f' for {posting.reference}' if posting.reference else ''}"))
    rows = rows or [("answer", "none, and no posting")]
    return [*rows, ("not shown", not_looked_at)] if not_looked_at else rows


def _time_text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}"
