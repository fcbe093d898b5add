"""A benchmark uses only the stack that it started, whatever servers the user's shell points at."""

import os
from pathlib import Path

import pytest

from bench.fresh_stack import _point_commands_at


def test_no_setting_of_the_users_shell_leads_the_demo_to_other_servers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("SETTLE_DATABASE_URL", "SETTLE_FUND_PLATFORM_URL", "TEMPORAL_ADDRESS", "TEMPORAL_API_KEY"):
        monkeypatch.setenv(name, "production")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    _point_commands_at(tmp_path)
    left = {name for name in os.environ if name.startswith(("SETTLE_", "TEMPORAL_", "KAFKA_"))}
    assert left == {"SETTLE_STACK_DIR", "TEMPORAL_CONFIG_FILE"}
    assert not Path(os.environ["TEMPORAL_CONFIG_FILE"]).exists()
