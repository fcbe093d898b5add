"""The picture of a run: the terminal and Temporal's web UI, halfway through a batch."""

import asyncio
import base64
import json
import time
from pathlib import Path

from playwright.sync_api import Browser

from bench.fresh_stack import fresh_stack, run_settle
from bench.settle_processes import SETTLE, SettleProcesses
from runtime.settings import Settings
from tools.pictures.browser import View, browser, page_in
from tools.pictures.terminal import as_html, last_frame

_DIRECTORY = Path(".settle/pictures")
_BATCH_ID = "2026-11-30-daily"
_ORDER_COUNT = 100_000
_CREDITS_PER_S = 2_500  # a run that is slow enough to look at
_HALFWAY = 0.45
_READY_TIMEOUT_S = 60.0
_POLL_INTERVAL_S = 0.2
_RENDERED_MS = 3_000  # the web UI shows Markdown in sandboxed frames, which cannot be waited for
_WEB_UI = View("web UI", 1240, 1060)
_WHOLE = View("run", 1240, 1140)
_PAGE = """
<style>
  body {{ margin: 0; background: #fff; font-family: sans-serif; }}
  pre {{ margin: 0; padding: 14px 18px; background: #10141f; color: #d8dee9; font: 14.5px/1.45 monospace; }}
  img {{ display: block; width: 1240px; }}
</style>
{terminal}<img src="data:image/png;base64,{web_ui}">
"""


def picture_run(file: Path) -> None:
    """Settle a sample on a stack of its own, and write the picture of it."""
    with fresh_stack(_DIRECTORY) as settings:
        orders = str(_DIRECTORY / "orders.csv")
        run_settle("sample", orders, "--orders", str(_ORDER_COUNT))
        run_settle("import", orders)
        with SettleProcesses(_DIRECTORY / "logs", {}) as processes:
            processes.start("worker")
            asyncio.run(processes.wait_until_workers_serve(_READY_TIMEOUT_S))
            options = ("--chunk-size", "1000", "--window", "6", "--credits-per-s", str(_CREDITS_PER_S))
            run_settle("run", "--batch-id", _BATCH_ID, *options)
            _wait_until_halfway()
            with browser() as chromium:
                web_ui = _picture_web_ui(chromium, settings)
                watched = last_frame([str(SETTLE), "watch", _BATCH_ID], "running", _READY_TIMEOUT_S)
                with page_in(chromium, _WHOLE) as page:
                    terminal = as_html([f"$ settle watch {_BATCH_ID}", watched])
                    page.set_content(_PAGE.format(terminal=terminal, web_ui=base64.b64encode(web_ui).decode()))
                    page.locator("body").screenshot(path=file)


def _wait_until_halfway() -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline:
        progress = json.loads(run_settle("status", _BATCH_ID, "--json"))["progress"]
        if progress["settled"] >= _HALFWAY * _ORDER_COUNT:
            return
        time.sleep(_POLL_INTERVAL_S)
    raise TimeoutError(f"The batch {_BATCH_ID} is not halfway after {_READY_TIMEOUT_S} s.")


def _picture_web_ui(chromium: Browser, settings: Settings) -> bytes:
    with page_in(chromium, _WEB_UI) as page:
        page.goto(f"{settings.temporal_ui_url}/namespaces/default/workflows/{_BATCH_ID}")
        page.get_by_text("User Metadata").first.click()
        page.get_by_text("Current Details").wait_for()
        page.wait_for_timeout(_RENDERED_MS)
        picture: bytes = page.screenshot()
    return picture
