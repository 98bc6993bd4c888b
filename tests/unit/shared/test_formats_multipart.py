import base64
from functools import partial

import pytest
from hypothesis import given, strategies as st
from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

from shared.jsontext import Json
from shared.limits import DEFAULT
from tests.unit.shared import format_outcomes
from tests.unit.shared.format_outcomes import assert_taken_or_refused

MULTIPART = "multipart/form-data; boundary=b"
SMALL = DEFAULT._replace(max_parts=3, max_key_characters=10)


def part(headers: str, content: bytes = b"x") -> bytes:
    return b"--b\r\n" + headers.encode() + b"\r\n\r\n" + content + b"\r\n"


def named(name: str, content: bytes = b"x") -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"', content)


parsed = partial(format_outcomes.parsed, content_type=MULTIPART)
rejection = partial(format_outcomes.rejection, content_type=MULTIPART)


def test_fields_are_strings_and_files_are_attachments() -> None:
    file = 'Content-Disposition: form-data; name="cv"; filename="cv.pdf"\r\nContent-Type: application/pdf'
    body = named("name", "Ada é".encode()) + part(file, b"%PDF\x00\r\n\xff") + b"--b--\r\n"
    assert parsed(body) == {
        "name": "Ada é",
        "cv": {
            "name": "cv.pdf",
            "type": "application/pdf",
            "size": 8,
            "base64": base64.b64encode(b"%PDF\x00\r\n\xff").decode(),
        },
    }


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ("Content-Disposition: form-data; name=a", {"a": "x"}),
        ('Content-Disposition: form-data;\r\n name="a"', {"a": "x"}),
        ('Content-Disposition: form-data; name="a;\\"b\\""', {'a;"b"': "x"}),
        ('Content-Disposition: form-data; name="é"', {"é": "x"}),
        ("Content-Disposition: form-data", {"": "x"}),
    ],
)
def test_a_parts_name_is_read_from_its_headers(headers: str, value: Json) -> None:
    assert parsed(part(headers) + b"--b--") == value


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ('filename="a.txt"', "a.txt"),
        ("filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
        ("filename=\"x\"; filename*=utf-8''%E2%82%AC.txt", "€.txt"),
        ('filename="../../etc/passwd"', "../../etc/passwd"),
        (f'filename="{"x" * 1_025}; name=evil; y=1"', f"{'x' * 1_025}; name=evil; y=1"),
        ('filename="' + r"\"; name=evil; " * 400 + '"', '"; name=evil; ' * 400),
        ('filename="open; name=evil', "open; name=evil"),
    ],
)
def test_a_file_keeps_the_name_it_was_sent_with(parameter: str, name: str) -> None:
    body = part(f"Content-Disposition: form-data; {parameter}\r\nX: ").replace(b"form-data;", b"form-data; name=a;")
    body += b"--b--"
    assert parsed(body) == {"a": {"name": name, "type": "application/octet-stream", "size": 1, "base64": "eA=="}}


def test_the_charset_of_a_part_is_honoured() -> None:
    headers = "Content-Disposition: form-data; name=a\r\nContent-Type: text/plain; charset=iso-8859-1"
    assert parsed(part(headers, b"\xe9") + b"--b--") == {"a": "é"}
    assert rejection(part("Content-Type: text/plain; charset=x-evil") + b"--b--") == "unsupported_encoding"
    file = part('Content-Disposition: form-data; name="a"; filename="_charset_"', b"x-evil")
    assert "a" in str(parsed(file + b"--b--")), "a file's name is no field"


@pytest.mark.parametrize(("encoding", "content"), [("base64", b"aGk="), ("Quoted-Printable", b"h=69"), ("8bit", b"hi")])
def test_a_transfer_encoding_is_undone(encoding: str, content: bytes) -> None:
    headers = f"Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: {encoding}"
    assert parsed(part(headers, content) + b"--b--") == {"a": "hi"}


def test_a_hundred_parts_are_accepted_and_one_more_is_not() -> None:
    assert parsed(named("a") * 100 + b"--b--") == {"a": ["x"] * 100}
    assert rejection(named("a") * 101 + b"--b--") == "too_many_parts"
    assert rejection(named("a") * 50_000) == "too_many_parts"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        named("a"),
        named("a") + b"--c--",
        b"--b\r\nContent-Disposition: form-data; name=a\r\n--b--",
        b"--b x\r\n\r\nx\r\n--b--",
        part("X: " + "y" * 8_200) + b"--b--",
        b"x" * 10_000 + b"\r\n" + named("a") + b"--b--",
        named("a") + b"--b--" + b"\r\n--b" * 2_000,
        part("Content-Transfer-Encoding: base64", b"a") + b"--b--",
    ],
)
def test_what_is_no_whole_multipart_body_does_not_parse(body: bytes) -> None:
    assert rejection(body) == "malformed_body"


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "b" * 71,
        'multipart/form-data; boundary="a\r\nb"',
        'multipart/form-data; boundary="b "',
    ],
)
def test_a_missing_or_impossible_boundary_does_not_parse(content_type: str) -> None:
    assert rejection(named("a") + b"--b--", content_type=content_type) == "malformed_body"


@pytest.mark.parametrize("boundary", ["b" * 70, "----WebKitFormBoundary7MA4YWxk", "a b", "'()+_,-./:=?"])
def test_any_boundary_that_the_rule_allows_is_accepted(boundary: str) -> None:
    body = (named("a") + b"--b--").replace(b"--b", b"--" + boundary.encode())
    assert parsed(body, content_type=f'Multipart/Form-Data; charset=utf-8; Boundary="{boundary}"') == {"a": "x"}


@given(st.lists(st.tuples(st.text("abc é", min_size=1), st.text(max_size=50), st.booleans()), max_size=5))
def test_what_an_independent_writer_writes_comes_out_as_it_was(sent: list[tuple[str, str, bool]]) -> None:
    fields = []
    expected: dict[str, list[Json]] = {}
    for name, sent_text, is_file in sent:
        content = sent_text.encode()
        field = RequestField(name, content, "f.bin" if is_file else None)
        field.make_multipart(content_type="application/x-test" if is_file else None)
        fields.append(field)
        text = base64.b64encode(content).decode()
        file: Json = {"name": "f.bin", "type": "application/x-test", "size": len(content), "base64": text}
        expected.setdefault(name, []).append(file if is_file else sent_text)
    body, content_type = encode_multipart_formdata(fields)
    assert parsed(body, content_type=content_type) == {
        name: values[0] if len(values) == 1 else values for name, values in expected.items()
    }


@given(st.binary(max_size=100), st.binary(max_size=100), st.text(max_size=20))
def test_any_bytes_are_parsed_or_rejected(head: bytes, content: bytes, boundary: str) -> None:
    assert_taken_or_refused(b"--b\r\n" + head + b"\r\n\r\n" + content + b"\r\n--b--", MULTIPART, SMALL)
    assert_taken_or_refused(head, f"multipart/form-data; boundary={boundary}", SMALL)
