"""All settings of Settle, from the environment; with none set, those of a running embedded stack."""

from datetime import time
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from database.urls import is_database_url
from domain import limits
from domain.batch_openings import BatchSettings
from domain.business_days import BusinessCalendar
from domain.errors import SettingsError, UnavailableError
from runtime.stack_state import DEFAULT_STACK_DIR, fetch_stack_state


class Settings(BaseSettings):
    """What can be set by `SETTLE_*`; Temporal's address has Temporal's own variables (`TEMPORAL_*`)."""

    model_config = SettingsConfigDict(env_prefix="SETTLE_", frozen=True, extra="ignore")

    stack_dir: Path = DEFAULT_STACK_DIR
    database_url: str = ""
    order_center_url: str = ""
    fund_platform_url: str = ""
    temporal_ui_url: str = ""
    task_queue: Annotated[str, Field(min_length=1)] = "settle"
    cutoff_time_local: time = time(0, 0)
    cutoff_timezone: str = "UTC"
    schedule_time_local: time = time(6, 0)
    chunk_size: Annotated[int, Field(ge=1, le=limits.CHUNK_SIZE_MAX)] = limits.CHUNK_SIZE_DEFAULT
    retention_days: Annotated[int, Field(ge=1)] = limits.RETENTION_DAYS_DEFAULT
    window: Annotated[int, Field(ge=1, le=limits.WINDOW_MAX)] = limits.WINDOW_DEFAULT

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

    @property
    def batch_settings(self) -> BatchSettings:
        """What every new batch gets."""
        calendar = BusinessCalendar(self.cutoff_time_local, ZoneInfo(self.cutoff_timezone))
        return BatchSettings(calendar, self.chunk_size, self.window)


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: one or more settings are malformed; all of them are named, no value is shown.
        UnavailableError: no database is set and no embedded stack runs.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"SETTLE_{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        raise SettingsError(f"The settings are wrong: {problems}.") from error
    stack = fetch_stack_state(settings.stack_dir)
    if not settings.database_url and stack is None:
        raise UnavailableError(
            "No database is set and no embedded stack runs here. "
            "Set SETTLE_DATABASE_URL, or start the embedded stack with: settle stack up"
        )
    database_url = settings.database_url or (stack.database_url if stack else "")
    return settings.model_copy(
        update={
            "database_url": database_url,
            "order_center_url": settings.order_center_url or database_url,
            "fund_platform_url": settings.fund_platform_url or database_url,
            "temporal_ui_url": settings.temporal_ui_url or (stack.temporal_ui_url if stack else ""),
        }
    )
