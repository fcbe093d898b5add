"""`make pictures`: the picture of a run, and the docs as they look in light, in dark and on a phone."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tools.pictures.browser import DARK, LIGHT, PHONE, browser, page_in
from tools.pictures.run_picture import picture_run

_ROOT = Path(__file__).parents[2]
_RUN = _ROOT / "docs" / "assets" / "run.png"
_SITE = _ROOT / "build" / "site"
_PAGES = _ROOT / "build" / "pictures"
_PAGE_NAMES = ("index", "tutorial", "how-to/read-the-audit", "reference/settings", "explanation/architecture")


def main() -> None:
    """Make all pictures. The site has to be built before."""
    picture_run(_RUN)
    sys.stdout.write(f"{_RUN}\n")
    with _served(_SITE) as site_url, browser() as chromium:
        _PAGES.mkdir(parents=True, exist_ok=True)
        for name in _PAGE_NAMES:
            for view in (LIGHT, DARK, PHONE):
                file = _PAGES / f"{name.replace('/', '-')}-{view.name}.png"
                with page_in(chromium, view) as page:
                    page.goto(f"{site_url}/{name}.html")
                    page.wait_for_load_state("networkidle")
                    page.screenshot(path=file)
                sys.stdout.write(f"{file}\n")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it
        pass


@contextmanager
def _served(directory: Path) -> Iterator[str]:
    """Serve a folder on loopback, since a site that is opened as files has no search."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(directory)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    main()
