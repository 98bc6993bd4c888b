import gzip
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import pytest
from hypothesis import example, given, strategies as st

from shared.errors import Rejected
from shared.formats.content_encoding import decode_content
from shared.jsontext import Json
from shared.limits import DEFAULT
from tests.unit.shared.format_outcomes import assert_taken_or_refused, outcome, rejection

SMALL = DEFAULT._replace(max_depth=4, max_nodes=20, max_keys=5, max_fields=5, max_parts=3, max_expanded_characters=100)
GENERIC: Final = (None, "text/plain; charset=UTF-8", "application/octet-stream", "application/x-unheard-of", "nonsense")
FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--'


@pytest.mark.parametrize(
    ("content_type", "body", "format_name", "data"),
    [
        *(
            (content_type, b'{"a": 1}', "json", {"a": 1})
            for content_type in (
                "application/json",
                'application/json;charset="utf-8"',
                "application/cloudevents+json",
                "application/csp-report",
            )
        ),
        ("application/x-ndjson", b'{"a": 1}\n2', "ndjson", [{"a": 1}, 2]),
        ("application/xml", b"<a>1</a>", "xml", {"a": "1"}),
        ("application/soap+xml", b"<a>1</a>", "xml", {"a": "1"}),
        ("application/yaml", b"a: 1", "yaml", {"a": 1}),
        ("application/x-www-form-urlencoded", b"a=1", "form", {"a": "1"}),
        ("application/x-www-form-urlencoded", b' {"a": 1}', "json", {"a": 1}),
        ("application/x-www-form-urlencoded", b"{a=1", "form", {"{a": "1"}),
        ("multipart/form-data; boundary=x", MULTIPART, "multipart", {"a": "1"}),
        ("text/csv", b"a\n1", "csv", [{"a": "1"}]),
        ("text/tab-separated-values", b"a\tb\n1\t2", "csv", [{"a": "1", "b": "2"}]),
        ("application/x-plist", b"<plist><true/></plist>", "plist", True),
        ("text/html", b"<p>hi<br>", "text", "<p>hi<br>"),
        ("text/markdown", b'{"a": 1}', "text", '{"a": 1}'),
        ("image/png", b"\x89PNG", "bytes", {"type": "image/png", "size": 4, "base64": "iVBORw=="}),
    ],
)
def test_a_content_type_that_has_a_format_rules(content_type: str, body: bytes, format_name: str, data: Json) -> None:
    assert outcome(body, content_type) == (data, format_name)


@pytest.mark.parametrize("content_type", GENERIC)
@pytest.mark.parametrize(
    ("body", "format_name", "data"),
    [
        (b'{"Type": "Notification"}', "json", {"Type": "Notification"}),
        (b'\xef\xbb\xbf{"a": 1}', "json", {"a": 1}),
        (b"<a b='1'>x</a>", "xml", {"a": {"@b": "1", "#text": "x"}}),
        (b'\r\n<?xml version="1.0"?><a/>', "xml", {"a": None}),
        (b"<?xml version='1.0'?><!DOCTYPE plist><plist><string>a</string></plist>", "plist", "a"),
        (b"plain words", "text", "plain words"),
        (b"true", "text", "true"),
        (b"a=1&b=2", "text", "a=1&b=2"),
        (b"[INFO] server started", "text", "[INFO] server started"),
        (b"<!DOCTYPE html><html><br></html>", "text", "<!DOCTYPE html><html><br></html>"),
    ],
)
def test_where_it_names_none_the_body_is_what_it_looks_like(
    content_type: str | None, body: bytes, format_name: str, data: Json
) -> None:
    assert outcome(body, content_type) == (data, format_name)


def test_bytes_that_only_begin_like_utf_16_are_bytes() -> None:
    assert outcome("words".encode("utf-16"), "application/octet-stream") == ("words", "text")
    data = {"type": "application/octet-stream", "size": 3, "base64": "//4A"}
    assert outcome(b"\xff\xfe\x00", "application/octet-stream") == (data, "bytes")


@pytest.mark.parametrize("content_type", GENERIC)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[" * 100_000, "nested_too_deeply"),
        (b'{"a": 1e400}', "number_out_of_range"),
        (b"<a>" * 65, "nested_too_deeply"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "dtd_not_allowed"),
    ],
)
def test_a_limit_passed_is_rejected_and_not_taken_for_text(content_type: str | None, body: bytes, code: str) -> None:
    assert outcome(body, content_type) == code


@pytest.mark.parametrize("charset", ["x-evil", "base64", "unicode_escape", "utf-7", "../../etc", "a" * 5_000])
@pytest.mark.parametrize(
    "media", ["application/json", "application/xml", "application/yaml", "text/csv", "text/plain", FORM]
)
def test_a_charset_that_is_none_we_know_is_rejected(media: str, charset: str) -> None:
    assert rejection("{}", f"{media}; charset={charset}") == "unsupported_encoding"


@pytest.mark.parametrize(
    "charset", ["utf-8", "UTF8", "us-ascii", "utf-16", "UTF-16LE", "iso-8859-1", "windows-1252", "gb18030"]
)
def test_a_known_charset_is_honoured(charset: str) -> None:
    codec = "utf-8" if charset == "us-ascii" else charset
    assert outcome('{"a": "é"}'.encode(codec), f"application/json; charset={charset}") == ({"a": "é"}, "json")


_PART = b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
NOT_IN_THEIR_CHARSET = [
    ("application/json; charset=utf-16", b"{}\x00"),
    ("application/json; charset=windows-1252", b'"\x81"'),
    ("application/json", rb'{"a": "\udfff"}'),
    ("application/x-ndjson", b'1\n{"a": "\\ud800"}'),
    ("application/yaml", b"a: \xe9"),
    ("application/yaml", rb'{"a": "\ud83d\ude00", "b": "\ud800"}'),
    ("text/plain", b"a\xe9"),
    ("text/html; charset=us-ascii", b"a\xe9"),
    *((FORM, body) for body in (b"a=%E9", b"a=\xe9", b"%E9=a", b"a=%ED%A0%80", b"a=x%C3")),
    (f"{FORM}; charset=shift_jis", b"a=%81"),
    (FORM, b"a=%81&_charset_=windows-1252"),
    *(("multipart/form-data; boundary=b", part + b"--b--") for part in (
        _PART % (b"a", b"", b"\xe9"),
        _PART % (b"\xe9", b"", b"a"),
        _PART % (b"a", b'; filename="\xe9"', b"a"),
        _PART % (b"a", b"; filename*=UTF-8''%E9", b"a"),
        _PART % (b"a", b"\r\nContent-Type: text/plain; charset=utf-16", b"a"),
    )),
]  # fmt: skip


@pytest.mark.parametrize(("content_type", "body"), NOT_IN_THEIR_CHARSET)
def test_what_is_not_in_its_charset_is_rejected_in_every_format(content_type: str, body: bytes) -> None:
    assert rejection(body, content_type) == "malformed_body"


@pytest.mark.parametrize("charset", ["windows-1252", "ISO-8859-1", "Shift_JIS"])
def test_the_field_of_a_form_that_names_its_charset_is_honoured(charset: str) -> None:
    text = "ä=é" if "JIS" not in charset else "日本"
    query = urlencode({"n": text, "_charset_": charset}, encoding=charset)
    assert outcome(query.encode(), FORM) == ({"n": text, "_charset_": charset}, "form")
    parts = _PART % (text.encode(charset), b"", text.encode(charset)) + _PART % (b"_charset_", b"", charset.encode())
    assert outcome(parts + b"--b--", "multipart/form-data; boundary=b") == (
        {text: text, "_charset_": charset},
        "multipart",
    )
    assert rejection(query.encode(), f"{FORM}; charset=x-evil") == "unsupported_encoding"
    assert rejection(b"a=1&_charset_=x-evil", FORM) == "unsupported_encoding"


@pytest.mark.parametrize(("content_type", "text"), [("text/xml", "<a>b</a>"), ("application/yaml", "a: b")])
@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-32"])
def test_a_second_byte_order_mark_is_rejected(content_type: str, text: str, codec: str) -> None:
    mark = "\ufeff" if codec == "utf-8" else ""  # the others write one themselves
    assert not isinstance(outcome(f"{mark}{text}".encode(codec), content_type), str)
    assert rejection(f"{mark}\ufeff{text}".encode(codec), content_type) == "malformed_body"
    assert outcome(f"{mark}\ufeff".encode(codec), "text/plain") == ("\ufeff", "text")


def test_a_parser_that_runs_out_of_stack_or_memory_rejects(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (RecursionError, MemoryError):

        def fail(*_: object, error: type[Exception] = error) -> Json:
            raise error

        monkeypatch.setattr("shared.formats.json_body.outline", fail)
        assert outcome(b"{}", "application/json") == "too_many_values"


def test_a_parser_is_imported_when_its_format_first_comes(root: Path) -> None:
    script = """
import sys
from shared.formats.parse import parse_body
def heavy():
    return sorted({"pyexpat", "yaml", "csv"} & sys.modules.keys())
for content_type in ("application/json", "text/plain"):
    parse_body(b"{}", content_type)
before = heavy()
parse_body(b"a", "text/csv")
print(before, heavy())
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[] ['csv']\n"


CONTENT_TYPES: Final = (
    *GENERIC,
    "application/json",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/csv",
    "application/x-plist",
    "text/html; charset=utf-16",
    "image/png",
)


@given(st.binary(max_size=200), st.sampled_from(CONTENT_TYPES))
@example(b"[" * 65, None)
@example(MULTIPART, "multipart/form-data; boundary=x")
def test_any_bytes_of_any_known_type_are_parsed_or_rejected(body: bytes, content_type: str | None) -> None:
    assert_taken_or_refused(body, content_type, SMALL)


@given(st.text(max_size=200) | st.text('ab/+;="\\ ,charset', max_size=60), st.binary(max_size=20))
@example('a/b; c="' + '\\"' * 50_000, b"{}")
@example('multipart/x; boundary="' * 5_000, b"{}")
def test_any_content_type_is_read_or_rejected(content_type: str, body: bytes) -> None:
    assert_taken_or_refused(body, content_type, SMALL)
    assert_taken_or_refused(b"{}", "application/json" + content_type, SMALL)


MIB = 1024 * 1024
ENCODING_SMALL = DEFAULT._replace(max_decoded_bytes=100)


def encoding_rejection(body: bytes, encoding: str | None) -> str:
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
    assert encoding_rejection(gzip.compress(b"a") * 101, "gzip") == "malformed_body"
    assert encoding_rejection(gzip.compress(b"") * 50_000, "gzip") == "malformed_body"


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
        assert encoding_rejection(bomb, encoding) == "decoded_body_too_large"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * DEFAULT.max_decoded_bytes


@pytest.mark.parametrize(
    ("pack", "encoding"), [(bytes, None), (gzip.compress, "gzip"), (zlib.compress, "deflate"), (raw_deflate, "deflate")]
)
def test_the_decoded_limit_is_exact(pack: type[bytes], encoding: str | None) -> None:
    assert len(decode_content(pack(bytes(100)), encoding, ENCODING_SMALL)) == 100
    with pytest.raises(Rejected) as caught:
        decode_content(pack(bytes(101)), encoding, ENCODING_SMALL)
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
    assert encoding_rejection(body, "gzip") == "malformed_body"


@pytest.mark.parametrize("body", [b"", zlib.compress(b"hello")[:-1], zlib.compress(b"hello") + b"more"])
def test_damaged_deflate_does_not_parse(body: bytes) -> None:
    assert encoding_rejection(body, "deflate") == "malformed_body"


@given(st.binary(), st.sampled_from(["gzip", "deflate", "identity", "br"]), st.sampled_from([b"", gzip.compress(b"a")]))
def test_any_bytes_are_decoded_or_rejected(body: bytes, encoding: str, before: bytes) -> None:
    try:
        length = len(decode_content(before + body, encoding, ENCODING_SMALL))
    except Rejected as error:
        length, status = 0, error.status
    else:
        status = 200
    assert length <= 100
    assert status in {200, 400, 413, 415}
