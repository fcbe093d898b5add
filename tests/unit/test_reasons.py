"""Every reason code has a sentence for finance people."""

import pytest

from schemas.wire.reasons import REASON_SENTENCES, ReasonCode


def test_every_reason_has_a_sentence_and_no_sentence_is_left_over() -> None:
    assert set(REASON_SENTENCES) == set(ReasonCode)


@pytest.mark.parametrize("code", ReasonCode)
def test_a_reason_reads_as_one_sentence_and_its_code_is_its_name(code: ReasonCode) -> None:
    sentence = REASON_SENTENCES[code]
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert code.value == code.name


def test_no_two_reasons_say_the_same() -> None:
    assert len(set(REASON_SENTENCES.values())) == len(ReasonCode)
