"""Bodies, headers, paths and queries that platforms may carry differently."""

from typing import Final

from shared.http import Headers

BINARY: Final = bytes(range(256))
PARTS: Final = (
    b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\nZo\xc3\xab\r\n--b\r\ncontent-disposition: form-data; '
    b'name="f"; filename="x.bin"\r\ncontent-type: application/octet-stream\r\n\r\n' + BINARY + b"\r\n--b--\r\n"
)
TYPED_BODIES: Final = (
    ("application/json", b'{"a": [1, 2.50, 18446744073709551616], "b": "Zo\xc3\xab"}'),
    ("application/json", b'{"a": "\xe9"}'),
    ("application/json; charset=latin-1", b'{"a": "\xe9"}'),
    ("application/json", b""),
    ("application/x-ndjson", b'{"a": 1}\n{"a": 2}\n'),
    ("application/cloudevents+json", b'{"specversion": "1.0", "id": "1", "source": "/a", "type": "b", "data": {}}'),
    ("application/xml", b"<order id='1'><total>2.50</total></order>"),
    ("application/xml", '<?xml version="1.0" encoding="utf-16"?><a>é</a>'.encode("utf-16")),
    ("text/xml; charset=iso-8859-1", b"<a>\xe9</a>"),
    ("text/xml", b"<a>\xe9</a>"),
    ("application/yaml", b"a: [1, no, 2001-01-01]\n"),
    ("application/x-www-form-urlencoded", b"a=1&a=2&b=Zo%C3%AB&c=%FF"),
    ("application/x-www-form-urlencoded", b"a=\xe9"),
    ("multipart/form-data; boundary=b", PARTS),
    ("text/csv", b"a,b\r\n1,2\r\n"),
    ("text/plain", b"plain words"),
    ("text/plain; charset=windows-1252", b"caf\xe9 \x80"),
    ("text/plain", b"\xff\xfe\x00"),
    ("text/html", b"<p>&eacute;</p>"),
    ("application/octet-stream", BINARY),
    ("image/png", b"\x89PNG\r\n\x1a\n" + BINARY),
    ("application/x-plist", b"bplist00\xd1\x01\x02QaQb\x08\x0b\x0d\x00\x00\x00\x00\x00\x00\x01\x01\x00"),
    ("application/x-unknown", b"?"),
    ("", b'{"a": 1}'),
    ("", b"\x00\x01"),
    ("", b""),
    ("nonsense", b"{}"),
)
HEADERS: Final[tuple[Headers, ...]] = (
    (("cookie", "a=1; b=2"),),
    (("cookie", "a=1"), ("cookie", "b=2")),
    (("x-event", "one"), ("x-event", "two")),
    (("x-empty", ""), ("x-spaces", "a   b")),
    (("x-name", "Zoë".encode().decode("latin-1")),),
    (("x-name", "\xe9"),),
    (("content-encoding", "identity"),),
    (("content-encoding", "br"),),
    (("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),),
    (("hookchain-hops", "3"),),
    (("hookchain-hops", "9"),),
    (("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "hooks.example.com")),
    (("expect", "x"),),
    (("origin", "https://www.example.com"),),
    tuple((f"x-{number}", "a") for number in range(300)),
)
PATHS: Final = (
    *(
        "/",
        "//",
        "/open/",
        "/open/more",
        "/op%65n",
        "/%6Fpen",
        "/open%2F",
        "/open%00",
        "/%FF",
        "/open;a",
        "/open/../open",
    ),
    *("/nobody", "/..%2f..%2fetc", "/open%3Fa=1", "/" + "a" * 4_096),
)
QUERIES: Final = (
    "",
    "a=1",
    "a=%20&b=+",
    "a=1&a=2",
    "%FF=%00",
    "a;b",
    "=",
    "body=%7B%22a%22%3A1%7D",
    "a=" + "x" * 60_000,
)
