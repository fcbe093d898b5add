"""`docker-compose.yml` as the tests read it."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"


def with_defaults(text: str) -> str:
    """The text as Compose sees it when no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


COMPOSE: dict[str, Any] = yaml.safe_load(with_defaults(COMPOSE_FILE.read_text()))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SETTLE_SERVICES = {name: service for name, service in SERVICES.items() if service["image"] == "settle"}


def image_version(name: str) -> str:
    """The tag of a service's image, without what it is based on."""
    return str(SERVICES[name]["image"]).rsplit(":", 1)[1].split("-")[0]


def published_port(name: str) -> str:
    """Where a service that publishes one port is reached on the machine itself."""
    [port] = SERVICES[name]["ports"]
    return str(port).split(":")[1]
