"""What a command says when Temporal or Kafka went away, or refused, in the middle of its work.

What ports raise says it all itself.
"""

from aiokafka.errors import KafkaError
from temporalio.service import RPCError, RPCStatusCode

_WAIT = "Nothing is lost; run the command again once it is back."
_ADVICE = "Check its namespace and credentials, and bring it up to date with: settle migrate"
_ADVICE_BY_STATUS = {
    RPCStatusCode.UNAVAILABLE: _WAIT,
    RPCStatusCode.DEADLINE_EXCEEDED: _WAIT,
    RPCStatusCode.CANCELLED: _WAIT,
}


def describe_unreachable(error: Exception) -> str:
    """A sentence about a server that could not answer; empty if the error is no server's."""
    if isinstance(error, RPCError):
        advice = _ADVICE_BY_STATUS.get(error.status, _ADVICE)
        return f"Temporal answered {error.status.name}: {error.message}. {advice}"
    # Waiting for Kafka ends by asyncio's own error.
    if isinstance(error, (KafkaError, TimeoutError)):
        reason = " ".join(str(error).split()) or type(error).__name__
        return f"A server could not answer: {reason}. {_WAIT}"
    return ""
