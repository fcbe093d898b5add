"""The page on the settings, from `runtime/settings.py`."""

from collections.abc import Iterator
from typing import Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from runtime.settings import Settings
from tools.reference.markdown import page, table

_INTRODUCTION = """
Settings are environment variables. With none of them set, every command finds the embedded stack that runs in the
current folder. A malformed setting ends the command with exit code 2, and its value is never shown.
"""
_TEMPORAL = """
## Temporal

Temporal's own [environment configuration](https://docs.temporal.io/develop/environment-configuration) applies.
`TEMPORAL_ADDRESS` is by default the embedded stack's, else `localhost:7233`, and `TEMPORAL_NAMESPACE` is `default`.
`TEMPORAL_API_KEY`, `TEMPORAL_TLS`, `TEMPORAL_TLS_SERVER_NAME`, `TEMPORAL_TLS_SERVER_CA_CERT_PATH`,
`TEMPORAL_TLS_CLIENT_CERT_PATH` and `TEMPORAL_TLS_CLIENT_KEY_PATH` configure the connection. `TEMPORAL_CONFIG_FILE`
and `TEMPORAL_PROFILE` choose a configuration file and a profile in it.

A self-hosted Temporal server needs entries in its dynamic configuration. `deploy/temporal/dynamic_config.yaml` has
all of them:

- `matching.enableFairness: true` lets batches take turns on the workers.
- `history.transferProcessorMaxPollRPS` above its default of 20. With the default every step of a workflow waits up to
  50 ms.
- `history.visibilityProcessorMaxPollRPS: 1` with `history.visibilityTaskBatchSize: 1000`, if the list of workflows
  may be a second old. They save the server work.
"""


def settings_page() -> str:
    """Return the page."""
    rows = ([f"`{name}`", field.description or "", _default_of(field), _range_of(field)] for name, field in _settings())
    return page("Settings", _INTRODUCTION, table(["variable", "means", "default", "values"], rows), _TEMPORAL)


def _settings() -> Iterator[tuple[str, FieldInfo]]:
    for name, field in Settings.model_fields.items():
        yield (name if name.startswith("kafka_") else f"settle_{name}").upper(), field


def _default_of(field: FieldInfo) -> str:
    default = field.default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    return "" if default in (None, "") else f"`{default}`"


def _range_of(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    return ", ".join(text for constraint in field.metadata if (text := _constraint_text(constraint)))


def _constraint_text(constraint: object) -> str:
    match constraint:
        case Ge(ge=bound):
            return f"at least {bound:,}"
        case Gt(gt=bound):
            return f"over {bound:,}"
        case Le(le=bound):
            return f"at most {bound:,}"
        case Lt(lt=bound):
            return f"under {bound:,}"
        case MaxLen(max_length=bound):
            return f"at most {bound:,} characters"
    return ""
