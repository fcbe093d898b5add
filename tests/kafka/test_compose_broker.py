"""Apache Kafka accepts the settings of `docker-compose.yml`, which agree with those of the tests' own broker."""

from pathlib import Path

from tests.apache_kafka.broker import PROPERTIES, format_storage
from tests.support.compose import SERVICES

# Its address, its listeners and its partitions are excluded.
SHARED = {
    "process.roles",
    "node.id",
    "auto.create.topics.enable",
    "group.initial.rebalance.delay.ms",
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "transaction.state.log.min.isr",
}
# These are read by the image's scripts, not by the broker.
OF_THE_SCRIPTS = {"KAFKA_HEAP_OPTS"}


def compose_properties() -> dict[str, str]:
    """Return the properties as the image derives them from its variables."""
    return {
        variable.removeprefix("KAFKA_").replace("_", ".").lower(): str(value)
        for variable, value in SERVICES["kafka"]["environment"].items()
        if variable.startswith("KAFKA_") and variable not in OF_THE_SCRIPTS
    }


def test_apache_kafka_accepts_the_properties(apache_kafka_is_there: None, tmp_path: Path) -> None:
    data = tmp_path / "data"
    properties = tmp_path / "server.properties"
    properties.write_text(
        "".join(f"{name}={value}\n" for name, value in (compose_properties() | {"log.dirs": str(data)}).items())
    )
    format_storage(properties)
    assert (data / "meta.properties").exists()


def test_they_are_those_of_the_tests_own_broker() -> None:
    own = dict(line.split("=", 1) for line in PROPERTIES.splitlines())
    found = compose_properties()
    assert {name: found[name] for name in SHARED} == {name: own[name] for name in SHARED}
