"""The error of Apache Kafka in the tests."""


class ApacheKafkaError(Exception):
    """Apache Kafka could not be fetched or started. The message has the cause and the place to look."""
