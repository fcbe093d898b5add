"""Apache Kafka for the tests, from Maven's packages."""
