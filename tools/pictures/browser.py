"""Pictures of pages, by the Chromium of the machine."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

_TIMEOUT_MS = 30_000


class View(NamedTuple):
    """How a page is looked at."""

    name: str
    width: int
    height: int
    is_dark: bool = False
    scale: float = 1.0


LIGHT = View("light", 1280, 900)
DARK = View("dark", 1280, 900, is_dark=True)
PHONE = View("phone", 390, 844, scale=2.0)


@contextmanager
def browser() -> Iterator[Browser]:
    """Start the machine's Chromium without a window.

    Raises:
        FileNotFoundError: there is none.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        raise FileNotFoundError("No Chromium was found. Install it, on Debian with: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield chromium
        finally:
            chromium.close()


@contextmanager
def page_in(chromium: Browser, view: View) -> Iterator[Page]:
    """Open a page of its own in a view."""
    context = chromium.new_context(
        viewport={"width": view.width, "height": view.height},
        color_scheme="dark" if view.is_dark else "light",
        device_scale_factor=view.scale,
    )
    context.set_default_timeout(_TIMEOUT_MS)
    try:
        yield context.new_page()
    finally:
        context.close()
