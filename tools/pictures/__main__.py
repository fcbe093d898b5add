"""`make pictures`: the picture of a run, and the docs as they look in light, in dark and on a phone."""

import sys
from pathlib import Path

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
    with browser() as chromium:
        _PAGES.mkdir(parents=True, exist_ok=True)
        for name in _PAGE_NAMES:
            for view in (LIGHT, DARK, PHONE):
                file = _PAGES / f"{name.replace('/', '-')}-{view.name}.png"
                with page_in(chromium, view) as page:
                    page.goto((_SITE / f"{name}.html").as_uri())
                    page.wait_for_load_state("networkidle")
                    page.screenshot(path=file)
                sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main()
