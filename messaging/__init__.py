"""Orders in and results out by Kafka: pure decoding, and loops that commit only what is durable."""
