"""The logs of long-running processes: one line for each event on stderr, as JSON, or as plain text at a terminal."""

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter


def configure_logs() -> None:
    """Give all log lines of this process the same format, including those of the Temporal SDK.

    Call this before the first connection to Temporal, because it configures the logs of the SDK's runtime.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _shorten,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers()],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.captureWarnings(capture=True)
    logging.getLogger("temporalio").setLevel(logging.WARNING)
    # `activities.attempts` logs each failed attempt with its batch and chunk. The SDK would log it a second time.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
    # aiokafka logs every attempt to reach an unreachable broker, many per second. The loops log it in one sentence.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=_sdk_logs())), error_if_already_set=False)


def _renderers() -> list[Processor]:
    if sys.stderr.isatty():
        return [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


def _shorten(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Remove useless parts: the SDK's record as an object, and the traceback of a failed connection."""
    event.pop("temporal_log", None)
    error = (event.get("exc_info") or (None, None, None))[1]
    if isinstance(error, OSError):
        del event["exc_info"]
        event.setdefault("error", str(error) or type(error).__name__)
    return event


def _sdk_logs() -> LoggingConfig:
    return LoggingConfig(
        filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
        forwarding=LogForwardingConfig(logger=logging.getLogger("temporalio"), append_target_to_name=False),
    )
