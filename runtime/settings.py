"""All settings of Settle, from the environment; with none set, those of a running embedded stack."""

import re
from datetime import time
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from database.urls import is_database_url
from domain import limits
from domain.batch_openings import BatchSettings
from domain.business_days import BusinessCalendar
from domain.errors import SettingsError, UnavailableError
from messaging.topics import Topics, topics_of
from runtime.stack_state import DEFAULT_STACK_DIR, fetch_stack_state
from schemas.next_steps import START_STACK
from schemas.wire.control import FailureThresholds

_PORT = re.compile(r"[0-9]{1,5}")
_PORT_MAX = 65_535

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Settings(BaseSettings):
    """What can be set by `SETTLE_*` and `KAFKA_*`; Temporal's address has Temporal's own variables (`TEMPORAL_*`)."""

    model_config = SettingsConfigDict(env_prefix="SETTLE_", frozen=True, extra="ignore", populate_by_name=True)

    stack_dir: Path = DEFAULT_STACK_DIR
    database_url: str = ""
    order_center_url: str = ""
    fund_platform_url: str = ""
    temporal_ui_url: str = ""
    kafka_bootstrap_servers: Annotated[str, Field(validation_alias="KAFKA_BOOTSTRAP_SERVERS")] = ""
    kafka_security_protocol: Annotated[SecurityProtocol, Field(validation_alias="KAFKA_SECURITY_PROTOCOL")] = (
        "PLAINTEXT"
    )
    kafka_sasl_mechanism: Annotated[SaslMechanism, Field(validation_alias="KAFKA_SASL_MECHANISM")] = "PLAIN"
    kafka_sasl_username: Annotated[str, Field(validation_alias="KAFKA_SASL_USERNAME")] = ""
    kafka_sasl_password: Annotated[SecretStr, Field(validation_alias="KAFKA_SASL_PASSWORD")] = SecretStr("")
    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$", max_length=100)] = ""
    task_queue: Annotated[str, Field(min_length=1)] = "settle"
    intake_instance_id: Annotated[str, Field(max_length=100)] = ""
    intake_batch_size: Annotated[int, Field(ge=1, le=limits.BATCH_ORDER_COUNT_MAX)] = limits.INTAKE_BATCH_SIZE_DEFAULT
    backlog_high_water: Annotated[int, Field(ge=1)] = limits.BACKLOG_HIGH_WATER_DEFAULT
    backlog_low_water: Annotated[int, Field(ge=1)] = limits.BACKLOG_LOW_WATER_DEFAULT
    batch_stuck_s: Annotated[float, Field(gt=0)] = limits.BATCH_STUCK_S_DEFAULT
    cutoff_time_local: time = time(0, 0)
    cutoff_timezone: str = "UTC"
    schedule_time_local: time = time(6, 0)
    chunk_size: Annotated[int, Field(ge=1, le=limits.CHUNK_SIZE_MAX)] = limits.CHUNK_SIZE_DEFAULT
    credits_per_s: Annotated[int | None, Field(ge=1, le=limits.CREDITS_PER_S_MAX)] = None
    batch_wait_s_max: Annotated[float, Field(ge=limits.BATCH_WAIT_MIN_S, le=limits.BATCH_WAIT_MAX_S)] = (
        limits.BATCH_WAIT_DEFAULT_S
    )
    health_port: Annotated[int | None, Field(ge=1, le=_PORT_MAX)] = None
    retention_days: Annotated[int, Field(ge=1)] = limits.RETENTION_DAYS_DEFAULT
    window: Annotated[int, Field(ge=1, le=limits.WINDOW_MAX)] = limits.WINDOW_DEFAULT
    rejected_percent_max: Annotated[float, Field(ge=0, le=100)] = limits.REJECTED_PERCENT_MAX_DEFAULT
    rejected_count_max: Annotated[int, Field(ge=0)] = limits.REJECTED_COUNT_MAX_DEFAULT
    credit_deadline_s: Annotated[float, Field(ge=1, lt=limits.ACTIVITY_DEADLINE_S)] = limits.CREDIT_DEADLINE_DEFAULT_S
    failed_percent_max: Annotated[float, Field(ge=0, le=100)] = limits.FAILED_PERCENT_MAX_DEFAULT
    failed_count_max: Annotated[int, Field(ge=0)] = limits.FAILED_COUNT_MAX_DEFAULT

    @field_validator("cutoff_time_local", "schedule_time_local")
    @classmethod
    def _has_no_offset(cls, local: time) -> time:
        if local.tzinfo:
            raise ValueError("is a local time without an offset; the zone is SETTLE_CUTOFF_TIMEZONE")
        return local

    @field_validator("schedule_time_local")
    @classmethod
    def _is_a_whole_second(cls, local: time) -> time:
        if local.microsecond:
            raise ValueError("is a time in whole seconds; Temporal's calendars know no fractions")
        return local

    @field_validator("cutoff_timezone")
    @classmethod
    def _is_a_time_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("is no time zone; give an IANA name such as Europe/Berlin") from error
        return name

    @field_validator("database_url", "order_center_url", "fund_platform_url")
    @classmethod
    def _is_a_database_url(cls, url: str) -> str:
        if url and not is_database_url(url):
            raise ValueError("is no PostgreSQL URL; give postgresql://USER:PASSWORD@HOST:PORT/NAME")
        return url

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _names_hosts_and_ports(cls, servers: str) -> str:
        for server in servers.split(",") if servers else ():
            host, _, port = server.strip().rpartition(":")
            if not host or not _PORT.fullmatch(port) or not 0 < int(port) <= _PORT_MAX:
                raise ValueError("is no list of servers; give HOST:PORT,HOST:PORT")
        return servers

    @model_validator(mode="after")
    def _has_credentials_for_sasl(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password.get_secret_value()
        ):
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL {self.kafka_security_protocol} needs KAFKA_SASL_USERNAME and "
                "KAFKA_SASL_PASSWORD"
            )
        return self

    @model_validator(mode="after")
    def _resumes_under_the_mark_at_which_it_pauses(self) -> Self:
        if self.backlog_low_water >= self.backlog_high_water:
            raise ValueError("SETTLE_BACKLOG_LOW_WATER is not under SETTLE_BACKLOG_HIGH_WATER")
        return self

    @property
    def kafka_is_embedded(self) -> bool:
        """Whether the broker is the embedded stack's, which knows no idempotent producer."""
        stack = fetch_stack_state(self.stack_dir)
        return stack is not None and self.kafka_bootstrap_servers == stack.kafka_bootstrap_servers

    @property
    def topics(self) -> Topics:
        """The topics and the consumer groups of this installation."""
        return topics_of(self.topic_prefix)

    @property
    def batch_settings(self) -> BatchSettings:
        """What every new batch gets."""
        calendar = BusinessCalendar(self.cutoff_time_local, ZoneInfo(self.cutoff_timezone))
        thresholds = FailureThresholds(
            rejected_percent_max=self.rejected_percent_max,
            rejected_count_max=self.rejected_count_max,
            failed_percent_max=self.failed_percent_max,
            failed_count_max=self.failed_count_max,
        )
        return BatchSettings(calendar, self.chunk_size, self.window, thresholds, self.credit_deadline_s)


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: one or more settings are malformed; all of them are named, no value is shown.
        UnavailableError: no database is set and no embedded stack runs.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        problems = "; ".join(_problem_text(problem) for problem in error.errors())
        raise SettingsError(f"The settings are wrong: {problems}.") from error
    stack = fetch_stack_state(settings.stack_dir)
    if not settings.database_url and stack is None:
        raise UnavailableError(
            "No database is set and no embedded stack runs here. Set SETTLE_DATABASE_URL.", START_STACK
        )
    database_url = settings.database_url or (stack.database_url if stack else "")
    return settings.model_copy(
        update={
            "database_url": database_url,
            "order_center_url": settings.order_center_url or database_url,
            "fund_platform_url": settings.fund_platform_url or database_url,
            "temporal_ui_url": settings.temporal_ui_url or (stack.temporal_ui_url if stack else ""),
            "kafka_bootstrap_servers": settings.kafka_bootstrap_servers
            or (stack.kafka_bootstrap_servers if stack else ""),
        }
    )


def _problem_text(problem: ErrorDetails) -> str:
    """The variable and what is wrong with it; a problem of several variables names them itself."""
    message = problem["msg"].removeprefix("Value error, ")
    name = "_".join(map(str, problem["loc"])).upper()
    if not name:
        return message
    return f"{name if name.startswith('KAFKA_') else f'SETTLE_{name}'}: {message}"
