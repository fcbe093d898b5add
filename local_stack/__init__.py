"""The embedded stack: real Temporal, PostgreSQL and a Kafka-protocol broker as child processes. Not for production."""

from local_stack.errors import StackError
from local_stack.stack import LocalStack, PartStatus

__all__ = ["LocalStack", "PartStatus", "StackError"]
