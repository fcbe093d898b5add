"""`docker-compose.yml` as the tests read it."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"


def with_defaults(text: str) -> str:
    """Return the text with the default of each variable, as Compose reads it when no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


COMPOSE: dict[str, Any] = yaml.safe_load(with_defaults(COMPOSE_FILE.read_text()))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SETTLE_SERVICES = {name: service for name, service in SERVICES.items() if service["image"] == "settle"}


def image_version(name: str) -> str:
    """Return the version in the tag of a service's image, without the name of its base image."""
    return str(SERVICES[name]["image"]).rsplit(":", 1)[1].split("-")[0]


def published_port(name: str) -> str:
    """Return the port on the host of a service that publishes one port."""
    [port] = SERVICES[name]["ports"]
    return str(port).split(":")[1]
