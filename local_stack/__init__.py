"""The embedded stack: real Temporal, PostgreSQL and a Kafka-protocol broker as child processes; never production."""
