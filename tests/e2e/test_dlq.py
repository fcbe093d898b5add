"""`settle dlq` lists what intake could not take in, and `settle import --publish` sends repaired orders again."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from domain import limits
from messaging.dead_letter import DeadLetterTopic
from messaging.decoding import Poison, PoisonClass
from runtime.kafka import create_topics, open_producer
from runtime.settings import Settings
from tests.e2e.conftest import Commands
from tests.support.intakes import send_records, until_taken_in
from tests.support.malformed_records import event
from tests.support.settle_processes import SettleProcesses
from tests.support.settlements import eventually


@pytest.fixture
async def kafka_commands(commands: Commands, kafka_settings: Settings) -> Commands:
    """Commands on this test's own topics."""
    await create_topics(kafka_settings)
    commands.environment.update(
        SETTLE_STACK_DIR=str(kafka_settings.stack_dir),
        SETTLE_TOPIC_PREFIX=kafka_settings.topic_prefix,
        SETTLE_BATCH_WAIT_S_MAX=str(limits.BATCH_WAIT_MIN_S),
        KAFKA_BOOTSTRAP_SERVERS=kafka_settings.kafka_bootstrap_servers,
    )
    return commands


async def listed(commands: Commands) -> list[dict[str, Any]]:
    letters: list[dict[str, Any]] = json.loads(await asyncio.to_thread(commands.ok, "dlq", "list", "--json"))[
        "dead_letters"
    ]
    return letters


async def test_orders_are_announced_taken_in_and_settled_by_the_commands_alone(
    kafka_commands: Commands, kafka_settings: Settings, tmp_path: Path
) -> None:
    kafka_commands.ok("sample", "orders.csv", "--orders", "500", "--seed", "4")
    expected = json.loads((tmp_path / "orders.expected.json").read_text())
    imported = json.loads(kafka_commands.ok("import", "orders.csv", "--publish", "--json"))
    assert imported["published"] == 500
    with SettleProcesses(tmp_path, kafka_commands.environment) as processes:
        processes.start("worker", "worker")
        processes.start("intake", "intake")

        async def audited() -> dict[str, Any] | None:
            audit: dict[str, Any] = json.loads(await asyncio.to_thread(kafka_commands.ok, "audit", "--json"))
            return audit if audit["orders"] == 500 and not audit["pending"]["order_count"] else None

        audit = await eventually(audited)
        assert (audit["settled"], audit["rejected"]) == (expected["settled"], expected["rejected"])
        await processes.stop("intake")
        await processes.stop("worker")
    assert await listed(kafka_commands) == []
    assert kafka_commands.ok("dlq", "list").startswith("There are no dead letters")


async def test_a_dead_letter_is_listed_with_its_place_and_sent_again_once(
    kafka_commands: Commands, kafka_settings: Settings, tmp_path: Path
) -> None:
    bulk = json.dumps([event(1), {"order_id": "M-2"}, event(3)]).encode()
    await send_records(kafka_settings, [(b"k", b"{", []), (None, bulk, [("trace", b"t-1")])], partition=2)
    with SettleProcesses(tmp_path, kafka_commands.environment) as processes:
        processes.start("intake", "intake")
        await until_taken_in(kafka_settings)
        letters = await listed(kafka_commands)
        assert [(each["original_partition"], each["original_offset"], each["element_index"]) for each in letters] == [
            (2, 0, None),
            (2, 1, 1),
        ]
        assert [each["error_class"] for each in letters] == [PoisonClass.NOT_JSON, PoisonClass.INVALID_EVENT]
        assert not any(each["is_sent_again"] for each in letters)
        shown = kafka_commands.ok("dlq", "list")
        assert f"{kafka_settings.topics.overdue} 2:1 [1]" in shown

        assert kafka_commands.ok("dlq", "replay") == "Dead letters sent again: 2.\n"
        assert kafka_commands.ok("dlq", "replay").startswith("Dead letters sent again: ")

        async def came_back() -> bool:
            await until_taken_in(kafka_settings)
            return len(await listed(kafka_commands)) >= 4

        await eventually(came_back)
        again = await listed(kafka_commands)
        assert sum(each["is_sent_again"] for each in again) >= 2
        # An element is sent again as a record of its own, so it has no index any more.
        assert {each["element_index"] for each in again if each["value"] == '{"order_id":"M-2"}'} == {None, 1}


async def test_one_dead_letter_is_sent_again_by_its_place(kafka_commands: Commands, kafka_settings: Settings) -> None:
    await plant(kafka_settings, [b"{", b"[]"])
    letters = await listed(kafka_commands)
    place = f"{letters[0]['partition']}:{letters[0]['offset']}"
    assert kafka_commands.ok("dlq", "replay", "--offset", place) == "Dead letters sent again: 1.\n"
    assert kafka_commands.ok("dlq", "replay") == "Dead letters sent again: 2.\n"
    assert kafka_commands.ok("dlq", "replay") == "Dead letters sent again: 0.\n"


async def test_what_was_not_kept_whole_is_not_sent_again_and_is_told(
    kafka_commands: Commands, kafka_settings: Settings
) -> None:
    await plant(kafka_settings, [b"x" * (limits.DEAD_LETTER_BYTES_MAX + 1), b"{"])
    finished = kafka_commands.run("dlq", "replay")
    assert finished.returncode == 1
    assert finished.stdout == "Dead letters sent again: 1.\n"
    assert "Dead letters not sent, since they were too large to be kept whole: 1 (" in finished.stderr


async def test_what_a_dead_letter_says_is_shown_and_not_obeyed(
    kafka_commands: Commands, kafka_settings: Settings
) -> None:
    await plant(kafka_settings, [b"[/red] \x1b[31m \n[bold]"])
    shown = kafka_commands.ok("dlq", "list")
    assert "[/red] \\x1b[31m \\n[bold]" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("offset", "sentence"),
    [
        ("0:99", "has no dead letter 0:99. List them with: settle dlq list"),
        ("99:0", "has no dead letter 99:0. List them with: settle dlq list"),
        ("seven", "'seven' does not name a dead letter. Give PARTITION:OFFSET"),
    ],
)
async def test_a_place_without_a_dead_letter_is_told(kafka_commands: Commands, offset: str, sentence: str) -> None:
    finished = await asyncio.to_thread(kafka_commands.run, "dlq", "replay", "--offset", offset)
    assert finished.returncode == 2
    assert sentence in finished.stderr
    assert finished.stdout == ""


class Record:
    """The parts of a consumed record that a dead letter needs."""

    def __init__(self, value: bytes, offset: int) -> None:
        self.topic, self.partition, self.offset = "orders.overdue", 0, offset
        self.key, self.value, self.headers, self.timestamp = b"k", value, (), 1


async def plant(settings: Settings, values: list[bytes]) -> None:
    """Write dead letters as intake does."""
    async with open_producer(settings, idempotent=False) as producer:
        topic = DeadLetterTopic(producer, settings.topics.dead_letters, settings.topics.intake_group)
        poison = Poison(PoisonClass.NOT_JSON, "It is not JSON.")
        await topic.send([(Record(value, offset), poison) for offset, value in enumerate(values)])
