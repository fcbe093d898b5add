"""Orders in and results out through Kafka: pure decoding, and loops that commit only what is durable."""
