"""The page on the events on Kafka, and the same as AsyncAPI 3."""

import json
from typing import Any

import yaml

from messaging.decoding import PoisonClass
from messaging.topics import topics_of
from schemas.wire.events import OverdueEvent, SettlementResult
from tools.reference.markdown import page, table

_TOPICS = topics_of("")
_INTRODUCTION = """
Settle reads one topic and writes two. `SETTLE_TOPIC_PREFIX` is put before the names of all of them.
[asyncapi.yaml](asyncapi.yaml) describes the same as AsyncAPI 3. The JSON Schemas are in the repository under
`schemas/json/`; a test compares them with the code, and refuses changes that break a reader or a producer.
"""
_OVERDUE = f"""
## {_TOPICS.overdue}

The Order Center publishes an order here when its after-sale period is over. The key is the order's id. The value is
one JSON object, or a JSON array of such objects, a bulk event. Headers are not needed; CloudEvents headers are
welcome. Fields that are not listed are ignored.
"""
_RESULTS = f"""
## {_TOPICS.results}

`settle relay` publishes every outcome here, at least once. The key is the order's id. The headers are those of
CloudEvents 1.0 in binary mode, with `ce_id` equal to `event_id`. Keep the event with the highest `outcome_no` of each
order to have the order's latest outcome. [Reason codes](codes.md#reason-codes) may be added.
"""
_DEAD_LETTERS = f"""
## {_TOPICS.dead_letters}

Intake writes what it cannot take in here: a record, or one element of a bulk event. The key and the value are the
record's own. Headers that start with `dlq-` say why it was refused, and where it came from: `dlq-error-class`,
`dlq-error-message`, `dlq-original-topic`, `dlq-original-partition`, `dlq-original-offset`,
`dlq-original-timestamp-ms`, `dlq-consumer-group`, `dlq-element-index` and `dlq-original-value-bytes`. `settle dlq
list` shows them, and `settle dlq replay` publishes them to `{_TOPICS.overdue}` again.
"""


def events_page() -> str:
    """Return the page."""
    overdue = OverdueEvent.model_json_schema()
    result = SettlementResult.model_json_schema(mode="serialization")
    classes = table(["`dlq-error-class`"], ([f"`{each}`"] for each in PoisonClass))
    return page(
        "Events", _INTRODUCTION, *(_OVERDUE, _fields(overdue)), *(_RESULTS, _fields(result)), *(_DEAD_LETTERS, classes)
    )


def asyncapi_yaml() -> str:
    """Return the AsyncAPI 3 document."""
    return yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=120)


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3 document as data."""
    definitions = "#/components/schemas/{model}"
    overdue = OverdueEvent.model_json_schema(ref_template=definitions)
    result = SettlementResult.model_json_schema(mode="serialization", ref_template=definitions)
    outcome = result.pop("$defs")
    single = {"$ref": "#/components/schemas/OverdueEvent"}
    key = {"type": "string", "description": "The order's id."}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Settle",
            "version": "1.0.0",
            "description": "Overdue orders in, outcomes out. An installation may put a prefix before all topic names.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "overdue": _channel(_TOPICS.overdue, "Overdue orders, published by the Order Center.", "overdue"),
            "results": _channel(_TOPICS.results, "The outcome of every order, at least once.", "result"),
            "deadLetters": _channel(_TOPICS.dead_letters, "What could not be taken in, and why.", "deadLetter"),
        },
        "operations": {
            "takeIn": {"action": "receive", "channel": {"$ref": "#/channels/overdue"}},
            "publishResult": {"action": "send", "channel": {"$ref": "#/channels/results"}},
            "publishDeadLetter": {"action": "send", "channel": {"$ref": "#/channels/deadLetters"}},
        },
        "components": {
            "messages": {
                "overdue": _message(
                    "One overdue order, or several in a bulk event.",
                    key,
                    {"anyOf": [single, {"type": "array", "minItems": 1, "items": single}]},
                ),
                "result": _message("The outcome of an order.", key, {"$ref": "#/components/schemas/SettlementResult"}),
                "deadLetter": _message(
                    "A record, or an element of a bulk event, as it came.",
                    {"description": "The record's key."},
                    {"description": "The record's value."},
                    {"dlq-error-class": {"enum": [str(each) for each in PoisonClass]}},
                ),
            },
            "schemas": {"OverdueEvent": overdue, "SettlementResult": result, **outcome},
        },
    }


def _channel(address: str, description: str, message: str) -> dict[str, Any]:
    messages = {message: {"$ref": f"#/components/messages/{message}"}}
    return {"address": address, "description": description, "messages": messages}


def _message(
    summary: str, key: dict[str, Any], payload: dict[str, Any], headers: dict[str, Any] | None = None
) -> dict[str, Any]:
    with_headers = {"headers": {"type": "object", "properties": headers}} if headers else {}
    return {"summary": summary, **with_headers, "payload": payload, "bindings": {"kafka": {"key": key}}}


def _fields(schema: dict[str, Any]) -> str:
    return table(
        ["field", "type", "means"],
        ([f"`{name}`", _type_of(field, schema), _meaning_of(field)] for name, field in schema["properties"].items()),
    )


def _type_of(field: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$ref" in field:
        field = schema["$defs"][field["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in field:
        return " or ".join(_type_of(each, schema) for each in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    return str(field.get("format", field["type"]))


def _meaning_of(field: dict[str, Any]) -> str:
    bounds = {"minimum": "at least", "maximum": "at most", "maxLength": "length at most"}
    texts = [field.get("description", "")]
    texts += [f"{word} {field[name]:,}" for name, word in bounds.items() if name in field]
    return "; ".join(text.rstrip(".") for text in texts if text)
