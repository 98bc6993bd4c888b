import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from shared.errors import Rejected
from shared.formats.content_encoding import decode_content
from shared.limits import DEFAULT

MIB = 1024 * 1024
SMALL = DEFAULT._replace(max_decoded_bytes=100)


def rejection(body: bytes, encoding: str | None) -> str:
    with pytest.raises(Rejected) as caught:
        decode_content(body, encoding)
    return caught.value.code


def raw_deflate(content: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(content) + stream.flush()


@pytest.mark.parametrize("encoding", ["gzip", "X-GZIP", " gzip "])
def test_gzip_is_undone(encoding: str) -> None:
    assert decode_content(gzip.compress(b"hello"), encoding) == b"hello"


def test_deflate_is_undone_with_and_without_its_zlib_header() -> None:
    assert decode_content(zlib.compress(b"hello" * 100), "deflate") == b"hello" * 100
    assert decode_content(raw_deflate(b"hello" * 100), "deflate") == b"hello" * 100


def test_gzip_of_several_members_is_one_body() -> None:
    assert decode_content(gzip.compress(b"one, ") + gzip.compress(b"two") + bytes(512), "gzip") == b"one, two"


def test_gzip_of_more_members_than_any_sender_makes_is_rejected() -> None:
    assert decode_content(gzip.compress(b"a") * 100, "gzip") == b"a" * 100
    assert rejection(gzip.compress(b"a") * 101, "gzip") == "malformed_body"
    assert rejection(gzip.compress(b"") * 50_000, "gzip") == "malformed_body"


def after_another_member(content: bytes) -> bytes:
    return gzip.compress(bytes(3 * MIB)) + gzip.compress(content)


@pytest.mark.parametrize(
    ("pack", "encoding"),
    [(gzip.compress, "gzip"), (after_another_member, "gzip"), (zlib.compress, "deflate"), (raw_deflate, "deflate")],
)
def test_a_bomb_is_rejected_in_bounded_memory(pack: Callable[[bytes], bytes], encoding: str) -> None:
    bomb = pack(bytes(16 * MIB))
    tracemalloc.start()
    try:
        assert rejection(bomb, encoding) == "decoded_body_too_large"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * DEFAULT.max_decoded_bytes


@pytest.mark.parametrize(
    ("pack", "encoding"), [(bytes, None), (gzip.compress, "gzip"), (zlib.compress, "deflate"), (raw_deflate, "deflate")]
)
def test_the_decoded_limit_is_exact(pack: type[bytes], encoding: str | None) -> None:
    assert len(decode_content(pack(bytes(100)), encoding, SMALL)) == 100
    with pytest.raises(Rejected) as caught:
        decode_content(pack(bytes(101)), encoding, SMALL)
    assert caught.value.code == "decoded_body_too_large"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        gzip.compress(b"hello", mtime=0)[:-1],
        gzip.compress(b"hello", mtime=0)[:-8] + bytes(8),
        gzip.compress(b"hello", mtime=0) + b"more",
        gzip.compress(b"hello", mtime=0) + b"\x1f\x8b",
    ],
)
def test_damaged_or_truncated_gzip_does_not_parse(body: bytes) -> None:
    assert rejection(body, "gzip") == "malformed_body"


@pytest.mark.parametrize("body", [b"", zlib.compress(b"hello")[:-1], zlib.compress(b"hello") + b"more"])
def test_damaged_deflate_does_not_parse(body: bytes) -> None:
    assert rejection(body, "deflate") == "malformed_body"


@given(st.binary(), st.sampled_from(["gzip", "deflate", "identity", "br"]), st.sampled_from([b"", gzip.compress(b"a")]))
def test_any_bytes_are_decoded_or_rejected(body: bytes, encoding: str, before: bytes) -> None:
    try:
        length = len(decode_content(before + body, encoding, SMALL))
    except Rejected as error:
        length, status = 0, error.status
    else:
        status = 200
    assert length <= 100
    assert status in {200, 400, 413, 415}
