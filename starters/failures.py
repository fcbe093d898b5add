"""Sentences for errors of the Temporal and Kafka clients in the middle of a command's work.

Errors that ports raise have a full message of their own.
"""

from aiokafka.errors import KafkaError
from temporalio.service import RPCError, RPCStatusCode

_WAIT = "Nothing is lost. Run the command again when the server is reachable."
_ADVICE = "Check the namespace and the credentials, and run: settle migrate"
_ADVICE_BY_STATUS = {
    RPCStatusCode.UNAVAILABLE: _WAIT,
    RPCStatusCode.DEADLINE_EXCEEDED: _WAIT,
    RPCStatusCode.CANCELLED: _WAIT,
}


def describe_unreachable(error: Exception) -> str:
    """Return a sentence about a server that did not answer or refused; empty for any other error."""
    if isinstance(error, RPCError):
        advice = _ADVICE_BY_STATUS.get(error.status, _ADVICE)
        return f"Temporal answered {error.status.name}: {error.message}. {advice}"
    # Bounded waits for Kafka end with asyncio's own error.
    if isinstance(error, (KafkaError, TimeoutError)):
        reason = " ".join(str(error).split()) or type(error).__name__
        return f"A server did not answer: {reason}. {_WAIT}"
    return ""
