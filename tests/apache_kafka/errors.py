"""The one error of Apache Kafka as the tests run it."""


class ApacheKafkaError(Exception):
    """It could not be fetched or started; the message says why, and where to look."""
