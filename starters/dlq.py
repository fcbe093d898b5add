"""`settle dlq list | replay`: list dead letters, and send them to intake again."""

import re
from collections.abc import Iterable
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict
from rich.table import Table
from rich.text import Text

from domain import limits
from domain.errors import WrongCallError
from messaging.dead_letter import DeadLetter
from messaging.dead_letter_reading import Span, send_again
from runtime.kafka import open_dead_letter_reader, open_producer
from runtime.settings import load_settings
from starters.console import JsonOption, fail, print_json, print_whole, run_command
from starters.exit_codes import EXIT_BAD_OUTCOME

app = typer.Typer(
    help="List the dead letters, which intake could not take in, and send them again.", no_args_is_help=True
)

_VALUE_SHOWN_MAX = 60
_PLACE = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


class DeadLetterView(BaseModel):
    """A dead letter as it is listed. `value` is text; bytes that are not UTF-8 are replaced."""

    model_config = ConfigDict(frozen=True)

    partition: int
    offset: int
    error_class: str
    message: str
    original_topic: str
    original_partition: int
    original_offset: int
    original_timestamp_ms: int
    consumer_group: str
    element_index: int | None
    value: str | None
    is_cut: bool
    is_sent_again: bool


class DeadLetterList(BaseModel):
    """The newest dead letters of each partition, ordered by the time of their original records.

    `left_out` is the number of older ones that are not listed.
    """

    model_config = ConfigDict(frozen=True)

    topic: str
    dead_letters: list[DeadLetterView]
    left_out: int


def _place_of(text: str) -> tuple[int, int]:
    match = _PLACE.fullmatch(text)
    if not match:
        raise WrongCallError(
            f"{text!r} does not name a dead letter. Give PARTITION:OFFSET as shown by: settle dlq list"
        )
    return int(match[1]), int(match[2])


@app.command("list")
def list_dead_letters(as_json: JsonOption = False) -> None:
    """List the newest dead letters, and why intake could not take them in."""
    found = run_command(_list())
    if as_json:
        print_json(found)
        return
    if not found.dead_letters:
        typer.echo(f"There are no dead letters on {found.topic}.")
        return
    table = Table("dead letter", "from", "error", "message", "value", "sent again")
    for letter in found.dead_letters:
        table.add_row(
            f"{letter.partition}:{letter.offset}",
            _shown(
                f"{letter.original_topic} {letter.original_partition}:{letter.original_offset}"
                + ("" if letter.element_index is None else f" [{letter.element_index}]")
            ),
            _shown(letter.error_class),
            _shown(letter.message),
            _shown((letter.value or "")[:_VALUE_SHOWN_MAX]),
            "yes" if letter.is_sent_again else "",
        )
    print_whole(table)
    typer.echo("Show an order's life with: settle order ORDER_ID")
    typer.echo("Send a dead letter again with: settle dlq replay --offset PARTITION:OFFSET")
    if found.left_out:
        typer.echo(f"Older dead letters that are not listed: {found.left_out:,}.")


def _shown(text: str) -> Text:
    """Return foreign text as it is: not read as markup, and with the characters that a terminal obeys escaped."""
    return Text("".join(each if each.isprintable() else repr(each)[1:-1] for each in text))


@app.command("replay")
def replay_dead_letters(
    offsets: Annotated[
        list[str] | None,
        typer.Option("--offset", metavar="PARTITION:OFFSET", help="Send only this dead letter. May be repeated."),
    ] = None,
) -> None:
    """Send dead letters to intake again: all that were not sent again yet, or those given with --offset.

    Repair the cause first: an event that still cannot be taken in becomes a dead letter again.
    If the order came in meanwhile, the event counts as a duplicate.
    """
    sent_count, cut = run_command(_replay(offsets or []))
    typer.echo(f"Dead letters sent again: {sent_count:,}.")
    if cut:
        named = ", ".join(cut[: limits.UNCLOSED_BATCHES_NAMED_MAX])
        raise fail(
            f"Dead letters not sent, since they were too large to be kept whole: {len(cut):,} ({named}). "
            "Have their producer send these events again.",
            EXIT_BAD_OUTCOME,
        )


async def _list() -> DeadLetterList:
    settings = load_settings()
    async with open_dead_letter_reader(settings) as reader:
        spans = await reader.fetch_spans()
        listed_max = limits.DEAD_LETTERS_LISTED_MAX // len(spans)
        views = []
        for partition, span in spans.items():
            start = max(span.start, span.end - listed_max)
            views += [_view(each, span) for each in await reader.read(partition, start, span.end)]
    views.sort(key=lambda each: (each.original_timestamp_ms, each.original_partition, each.original_offset))
    left_out = sum(max(span.end - span.start - listed_max, 0) for span in spans.values())
    return DeadLetterList(topic=settings.topics.dead_letters, dead_letters=views, left_out=left_out)


def _view(letter: DeadLetter, span: Span) -> DeadLetterView:
    fields = letter._asdict()
    fields["value"] = letter.value if letter.value is None else letter.value.decode(errors="replace")
    return DeadLetterView(**fields, is_cut=letter.is_cut, is_sent_again=letter.offset < span.replayed_end)


async def _replay(offsets: list[str]) -> tuple[int, list[str]]:
    """Send slice by slice. Return how many were sent, and the places of those that could not be."""
    places = [_place_of(text) for text in offsets]
    settings = load_settings()
    sent_count = 0
    cut: list[str] = []
    async with open_dead_letter_reader(settings) as reader, open_producer(settings, idempotent=False) as producer:
        spans = await reader.fetch_spans()
        slices = _named(spans, places, settings.topics.dead_letters) if places else _not_sent_again(spans)
        for partition, start, end in slices:
            letters = await reader.read(partition, start, end)
            whole = [letter for letter in letters if not letter.is_cut]
            cut += [f"{letter.partition}:{letter.offset}" for letter in letters if letter.is_cut]
            await send_again(producer, settings.topics.overdue, whole)
            sent_count += len(whole)
            if not places:
                await reader.commit_replayed(partition, end)
    return sent_count, cut


def _named(spans: dict[int, Span], places: Iterable[tuple[int, int]], topic: str) -> list[tuple[int, int, int]]:
    for partition, offset in places:
        if partition not in spans or not spans[partition].start <= offset < spans[partition].end:
            raise WrongCallError(f"{topic} has no dead letter {partition}:{offset}. List them with: settle dlq list")
    return [(partition, offset, offset + 1) for partition, offset in places]


def _not_sent_again(spans: dict[int, Span]) -> list[tuple[int, int, int]]:
    return [
        (partition, start, min(start + limits.DEAD_LETTER_SLICE_COUNT, span.end))
        for partition, span in spans.items()
        for start in range(span.replayed_end, span.end, limits.DEAD_LETTER_SLICE_COUNT)
    ]
