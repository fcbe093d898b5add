"""Apache Kafka itself for the tests, from Maven's packages."""
