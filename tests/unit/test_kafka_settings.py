"""A list of brokers that no client can use is refused before a client is created."""

import pytest
from pydantic import ValidationError

from runtime.settings import Settings


@pytest.mark.parametrize("servers", ["kafka", "kafka:", ":9092", "kafka:0", "kafka:65536", "kafka:x", "a:1,", "a:1,b"])
def test_what_names_no_host_and_port_is_refused(servers: str) -> None:
    with pytest.raises(ValidationError, match="is not a list of servers; give HOST:PORT,HOST:PORT"):
        Settings(kafka_bootstrap_servers=servers)


@pytest.mark.parametrize("servers", ["kafka:9092", "a:1, b:65535", "[::1]:9092"])
def test_hosts_with_ports_are_taken(servers: str) -> None:
    assert Settings(kafka_bootstrap_servers=servers).kafka_bootstrap_servers == servers
