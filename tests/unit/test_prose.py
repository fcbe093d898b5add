"""The prose linter finds what the style forbids, and ignores code."""

import pytest
from proselint.checks import __register__ as proselint_checks
from proselint.registry import CheckRegistry

from tools.prose import STYLE, read


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    CheckRegistry().register_many((*proselint_checks, *STYLE))


@pytest.mark.parametrize(
    "sentence",
    [
        "Who comes a little late waits.",
        "The relay tells every outcome on Kafka.",
        "The worker is told to stop.",
        "All of them run at once.",
        "The slices overlap, so that the systems work side by side.",
        "It waits for ever.",
        f"The batch {'has orders and ' * 14}ends.",
    ],
)
def test_a_sentence_against_the_style_is_found(sentence: str) -> None:
    assert [finding.line_no for finding in read(f"# Batches\n\nA good line.\n{sentence}\n")][:1] == [4]


@pytest.mark.parametrize(
    "text",
    [
        "# Who is paid\n\nWhat happens when the period ends? Settle credits the order.\n",
        "Run `settle tells at once`.\n\n```console\n$ echo at once\n```\n",
        "| before | All of them run at once. |\n",
        "# Settle\n\nSettle credits customers.\n",
    ],
)
def test_questions_code_and_tables_are_left_alone(text: str) -> None:
    assert read(text) == []
