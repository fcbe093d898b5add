"""The worker's log: one line for each event on stderr, JSON, or plain text at a terminal."""

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter


def configure_logs() -> None:
    """Give all that this process logs the same form, what the Temporal SDK logs too.

    Call it before the first connection to Temporal: the SDK's own runtime is told here where its logs go.
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
    # The SDK tells each failed attempt a second time; `activities.attempts` does it with batch and chunk.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
    # It tells each attempt to reach a broker that is away, many a second; the loops say it in a sentence.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=_sdk_logs())), error_if_already_set=False)


def _renderers() -> list[Processor]:
    if sys.stderr.isatty():
        return [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


def _shorten(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leave out what helps nobody: the SDK's record as an object, and where in a library a connection failed."""
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
