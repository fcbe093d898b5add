"""All settings of Settle. They come from the environment; what is not set comes from a running embedded stack."""

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
    """The settings `SETTLE_*` and `KAFKA_*`. Temporal's own variables (`TEMPORAL_*`) are read by its SDK.

    The descriptions are the reference that `docs/reference/settings.md` shows.
    """

    model_config = SettingsConfigDict(env_prefix="SETTLE_", frozen=True, extra="ignore", populate_by_name=True)

    database_url: Annotated[
        str,
        Field(
            description="The Finance Center's database, on PostgreSQL 18: `postgresql://USER:PASSWORD@HOST:PORT/NAME`. "
            "By default the embedded stack's."
        ),
    ] = ""
    order_center_url: Annotated[
        str, Field(description="The Order Center's database. By default `SETTLE_DATABASE_URL`.")
    ] = ""
    fund_platform_url: Annotated[
        str, Field(description="The Fund Platform's database. By default `SETTLE_DATABASE_URL`.")
    ] = ""
    cutoff_time_local: Annotated[
        time, Field(description="Local time of day of the cutoff: the cutoff of business date D is at this time on D.")
    ] = time(0, 0)
    cutoff_timezone: Annotated[
        str, Field(description="Time zone of the cutoff and the daily schedule: an IANA name such as `Europe/Berlin`.")
    ] = "UTC"
    schedule_time_local: Annotated[
        time,
        Field(
            description="Local time of day at which the daily schedule starts a batch, in the same time zone. "
            "Apply the schedule again to put a change into force."
        ),
    ] = time(6, 0)
    chunk_size: Annotated[int, Field(ge=1, le=limits.CHUNK_SIZE_MAX, description="Orders in a chunk.")] = (
        limits.CHUNK_SIZE_DEFAULT
    )
    window: Annotated[
        int, Field(ge=1, le=limits.WINDOW_MAX, description="The most chunks of a batch in flight at a time.")
    ] = limits.WINDOW_DEFAULT
    rejected_percent_max: Annotated[
        float,
        Field(
            ge=0,
            le=100,
            description="Threshold for rejected orders, in percent of the orders that have an outcome. "
            "A batch over this share and over `SETTLE_REJECTED_COUNT_MAX` pauses itself.",
        ),
    ] = limits.REJECTED_PERCENT_MAX_DEFAULT
    rejected_count_max: Annotated[
        int, Field(ge=0, description="Threshold for rejected orders, in number. See `SETTLE_REJECTED_PERCENT_MAX`.")
    ] = limits.REJECTED_COUNT_MAX_DEFAULT
    failed_percent_max: Annotated[
        float,
        Field(
            ge=0,
            le=100,
            description="Threshold for failed orders, in percent of the orders that have an outcome. "
            "A batch over this share and over `SETTLE_FAILED_COUNT_MAX` pauses itself.",
        ),
    ] = limits.FAILED_PERCENT_MAX_DEFAULT
    failed_count_max: Annotated[
        int, Field(ge=0, description="Threshold for failed orders, in number. See `SETTLE_FAILED_PERCENT_MAX`.")
    ] = limits.FAILED_COUNT_MAX_DEFAULT
    credits_per_s: Annotated[
        int | None,
        Field(
            ge=1,
            le=limits.CREDITS_PER_S_MAX,
            description="Cap on credits: the most orders a second that all workers together ask the Fund Platform to "
            "credit. Give all workers the same value. By default there is no cap.",
        ),
    ] = None
    credit_deadline_s: Annotated[
        float,
        Field(
            ge=1,
            lt=limits.ACTIVITY_DEADLINE_S,
            description="How long a chunk's credits are retried while the Fund Platform does not answer, in seconds. "
            "After that they are held and the batch pauses.",
        ),
    ] = limits.CREDIT_DEADLINE_DEFAULT_S
    retention_days: Annotated[
        int, Field(ge=1, description="Days for which a closed batch keeps its items before pruning moves them.")
    ] = limits.RETENTION_DAYS_DEFAULT
    batch_stuck_s: Annotated[
        float,
        Field(
            gt=0,
            description="Seconds without a stored outcome after which a running batch is stuck. "
            "A stuck batch does not count towards the backlog.",
        ),
    ] = limits.BATCH_STUCK_S_DEFAULT
    batch_wait_s_max: Annotated[
        float,
        Field(
            ge=limits.BATCH_WAIT_MIN_S,
            le=limits.BATCH_WAIT_MAX_S,
            description="The longest that an order from Kafka waits for its batch to start, in seconds.",
        ),
    ] = limits.BATCH_WAIT_DEFAULT_S
    intake_batch_size: Annotated[
        int,
        Field(
            ge=1, le=limits.BATCH_ORDER_COUNT_MAX, description="Orders after which intake starts a batch from Kafka."
        ),
    ] = limits.INTAKE_BATCH_SIZE_DEFAULT
    intake_instance_id: Annotated[
        str,
        Field(
            max_length=100,
            description="Name of one intake in its consumer group; by default the host's name. "
            "Several intakes on one host need a name each. Two of one name keep expelling each other: no order is "
            "lost, but intake slows down and reads orders twice.",
        ),
    ] = ""
    backlog_high_water: Annotated[
        int,
        Field(
            ge=1,
            description="Backlog over which intake pauses: orders without an outcome in batches that are not stuck.",
        ),
    ] = limits.BACKLOG_HIGH_WATER_DEFAULT
    backlog_low_water: Annotated[
        int,
        Field(ge=1, description="Backlog under which intake resumes. Must be under `SETTLE_BACKLOG_HIGH_WATER`."),
    ] = limits.BACKLOG_LOW_WATER_DEFAULT
    kafka_bootstrap_servers: Annotated[
        str,
        Field(
            validation_alias="KAFKA_BOOTSTRAP_SERVERS",
            description="Kafka's brokers: `HOST:PORT,HOST:PORT`. By default the embedded stack's.",
        ),
    ] = ""
    kafka_security_protocol: Annotated[
        SecurityProtocol,
        Field(validation_alias="KAFKA_SECURITY_PROTOCOL", description="Encryption and authentication with Kafka."),
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[
        SaslMechanism,
        Field(validation_alias="KAFKA_SASL_MECHANISM", description="SASL mechanism. Read only with a SASL protocol."),
    ] = "PLAIN"
    kafka_sasl_username: Annotated[
        str, Field(validation_alias="KAFKA_SASL_USERNAME", description="User name. Required with a SASL protocol.")
    ] = ""
    kafka_sasl_password: Annotated[
        SecretStr, Field(validation_alias="KAFKA_SASL_PASSWORD", description="Password. Required with a SASL protocol.")
    ] = SecretStr("")
    topic_prefix: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._-]*$",
            max_length=100,
            description="Prefix of all topics and consumer groups, to let installations share a Kafka cluster.",
        ),
    ] = ""
    task_queue: Annotated[
        str, Field(min_length=1, description="Temporal's task queue, the same for all workers and commands.")
    ] = "settle"
    temporal_ui_url: Annotated[
        str,
        Field(description="Address of Temporal's web UI. Commands print links to it. By default the embedded stack's."),
    ] = ""
    health_port: Annotated[
        int | None,
        Field(
            ge=1,
            le=_PORT_MAX,
            description="Port on which a worker, an intake or a relay answers `GET /livez` and "
            "`GET /readyz`. By default none is opened.",
        ),
    ] = None
    stack_dir: Annotated[Path, Field(description="Folder in which commands look for a running embedded stack.")] = (
        DEFAULT_STACK_DIR
    )

    @field_validator("cutoff_time_local", "schedule_time_local")
    @classmethod
    def _has_no_offset(cls, local: time) -> time:
        if local.tzinfo:
            raise ValueError("must be a local time without an offset; the time zone is SETTLE_CUTOFF_TIMEZONE")
        return local

    @field_validator("schedule_time_local")
    @classmethod
    def _is_a_whole_second(cls, local: time) -> time:
        if local.microsecond:
            raise ValueError("must be in whole seconds, since Temporal's calendars have no fractions")
        return local

    @field_validator("cutoff_timezone")
    @classmethod
    def _is_a_time_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("is not a time zone; give an IANA name such as Europe/Berlin") from error
        return name

    @field_validator("database_url", "order_center_url", "fund_platform_url")
    @classmethod
    def _is_a_database_url(cls, url: str) -> str:
        if url and not is_database_url(url):
            raise ValueError("is not a PostgreSQL URL; give postgresql://USER:PASSWORD@HOST:PORT/NAME")
        return url

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _names_hosts_and_ports(cls, servers: str) -> str:
        for server in servers.split(",") if servers else ():
            host, _, port = server.strip().rpartition(":")
            if not host or not _PORT.fullmatch(port) or not 0 < int(port) <= _PORT_MAX:
                raise ValueError("is not a list of servers; give HOST:PORT,HOST:PORT")
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
            raise ValueError("SETTLE_BACKLOG_LOW_WATER must be under SETTLE_BACKLOG_HIGH_WATER")
        return self

    @property
    def kafka_is_embedded(self) -> bool:
        """Whether the broker is the embedded stack's, which does not support idempotent producers."""
        stack = fetch_stack_state(self.stack_dir)
        return stack is not None and self.kafka_bootstrap_servers == stack.kafka_bootstrap_servers

    @property
    def topics(self) -> Topics:
        """The topics and the consumer groups of this installation."""
        return topics_of(self.topic_prefix)

    @property
    def batch_settings(self) -> BatchSettings:
        """The settings that a new batch is opened with."""
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
        SettingsError: settings are malformed. The message names all of them and shows no value.
        UnavailableError: no database is set, and no embedded stack is running.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        problems = "; ".join(_problem_text(problem) for problem in error.errors())
        raise SettingsError(f"The settings are wrong: {problems}.") from error
    stack = fetch_stack_state(settings.stack_dir)
    if not settings.database_url and stack is None:
        raise UnavailableError(
            "No database is set, and no embedded stack is running here. Set SETTLE_DATABASE_URL.", START_STACK
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
    """Name the variable and its problem. A problem between variables already names them."""
    message = problem["msg"].removeprefix("Value error, ")
    name = "_".join(map(str, problem["loc"])).upper()
    if not name:
        return message
    return f"{name if name.startswith('KAFKA_') else f'SETTLE_{name}'}: {message}"
