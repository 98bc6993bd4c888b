"""Base64 is the same by pybase64 and by binascii: what is refused, and what is read and written."""

import base64
import binascii
from binascii import a2b_base64
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import example, given, strategies as st

from shared import jsontext as module
from shared.jsontext import LARGE_BYTES, base64_bytes, base64_encoder, base64_text, decode_base64

alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
hostile = st.sampled_from(
    ["=", "==", "===", "=A", "\n", "\r\n", " ", "-", "_", "\0", "\x80", "é", "日", "\ud800", "\x7f"]
)
pieces = st.text(st.sampled_from(alphabet), max_size=9) | hostile
texts = st.lists(pieces, max_size=6).map("".join)


@st.composite
def faulty(draw: st.DrawFn) -> str:
    """A text of an encoder, over the threshold, with some characters in it replaced, inserted or removed."""
    content = draw(st.binary(min_size=1, max_size=9)) * draw(st.integers(LARGE_BYTES // 9, LARGE_BYTES))
    text = base64.b64encode(content[: draw(st.integers(0, 3)) + LARGE_BYTES]).decode()
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(text)) | st.integers(len(text) - 5, len(text)))
        removed = draw(st.integers(0, 3))
        text = text[:place] + draw(pieces) + text[place + removed :]
    return text


def outcome(decode: Callable[[str | bytes], bytes], text: str | bytes) -> bytes | str:
    try:
        return decode(text)
    except ValueError as error:
        return str(error)


def verify_same(text: str) -> None:
    for each in (text, text.encode("utf-8", "surrogatepass")):
        for strict in (True, False):
            expected = outcome(partial(a2b_base64, strict_mode=strict), each)
            assert outcome(partial(decode_base64, strict=strict), each) == expected


@given(texts)
@example("=AAA")
@example("AA==AA==")
@example("AAA=A")
@example("AAAA====")
@example("AB==")
@example("AAAA\n")
@example("A")
def test_a_text_of_any_length_is_read_or_refused_as_binascii_does(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LONG_CHARACTERS", 0)
        verify_same(text)


@given(st.binary(max_size=70), st.sampled_from([0, 1, LARGE_BYTES // 50]))
def test_content_is_written_as_binascii_does(content: bytes, times: int) -> None:
    content *= times
    expected = binascii.b2a_base64(content, newline=False)
    assert base64_bytes(content) == expected
    assert base64_encoder(LARGE_BYTES)(content) == expected
    assert base64_text(content) == expected.decode()
    assert decode_base64(expected) == content
