"""The test of the docs recognises commands, and output that agrees with the output on a page."""

from pathlib import Path

import pytest

from tests.support.documented import missing_lines, steps_of

OUTPUT = """
┏━━━━━━━━┳━━━━━━━━━┓
│ all    │  10,000 │
Batch 2026-11-30-rerun-20261130T100038Z-a39ce554: 25 items of batch november-01, again.
entry       3 at 2026-11-30 10:00:39 UTC
"""


@pytest.mark.parametrize(
    "line",
    [
        "│ all    │  10,000 │",
        "all 10,000",
        "Batch 2026-12-01-rerun-20261201T000000Z-00000000: 25 items of batch november-01, again.",
        "Batch … 25 items …",
        "entry       3 at 2031-01-01 00:00:00 UTC",
        "…",
        "",
    ],
)
def test_a_line_that_was_written_is_found(line: str) -> None:
    assert missing_lines([line], OUTPUT) == []


@pytest.mark.parametrize(
    "line", ["│ all    │  10,001 │", "all", "Batch … 26 items …", "Batch … of another batch …", "entry       4 at …"]
)
def test_a_line_that_was_not_written_is_missed(line: str) -> None:
    assert missing_lines([line], OUTPUT) == [line]


def test_a_page_is_its_console_blocks_each_with_what_comes_before_and_after(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        """
<!-- setup: worker -->

```console
$ settle run \\
    --wait    # exit code 1
$ cat > file <<'END'
>   two words
> END
```

```text
closed
```

```sh
tcld login
```

```console
$ settle audit
```
"""
    )
    first, second = steps_of(page)
    assert first.setup == "setup_worker > /dev/null\n"
    assert [" ".join(line.split()) for line in first.lines] == [
        "settle run --wait # exit code 1",
        "cat > file <<'END' two words END",
    ]
    assert first.lines[1] == "cat > file <<'END'\n  two words\nEND"
    assert first.shown == ["closed"]
    assert second == ("", ["settle audit"], [])
