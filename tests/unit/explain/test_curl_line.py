"""A curl line is the request that curl would send: compared with what curl itself sends, where it is installed."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.explain.curl_line import curl_request
from tests.stand_ins.http_server import Said, Seen, http_stand_in

LINES = [
    "curl URL/a -XPUT -H'X-A: 1' --data-binary @body",
    "curl URL/a -d @body",
    "curl -sS -f URL/a -d a=1 -d 'b=x y'",
    "curl --compressed URL/a?x=1 -G -d a=1 --data-urlencode 'q=a b&c'",
    "curl --url URL/a --json '{\"a\": 1}' -A me/1 -b 'k=v; l=w' -e http://b.example/",
    "curl URL/a -o /dev/null -w '' -m 5 --data-urlencode '=a=b' --data-urlencode 'n@body' --data-urlencode 'é ~'",
    'curl URL/a --data-raw $\'{\\n  "name": "O\\\'Neill\\u0021 Jos\\u00e9 \\\\n"}\'',
    r"""curl URL/a -F a=1 --form 'b="x; \"y\"";type=text/x' -F 'c"d= e ' --form-string 'f=@body;type=x' -F 'g=<body'""",
    """curl -isk -L URL/a -F 'file=@body' -F 'image=@a.PNG;filename="b.png"' -F 'page=@a.PNG;type=text/html'""",
    "curl URL/a -H 'Content-Type: multipart/form-data' -F a=1 -F b=@b.json",
    "curl URL/a -H 'X-A;' -H 'X-B:' -H 'Referer:' -e http://b.example/ -u me:secret-word -H 'Content-Type:' -d a=1",
    "curl -u me:secret-word \\\n  URL/a \\\n  --data-raw '@body'",
]


@pytest.fixture
def seen() -> Iterator[tuple[str, list[Seen]]]:
    got: list[Seen] = []

    def answer(request: Seen) -> Said:
        got.append(request)
        return Said()

    with http_stand_in(answer) as url:
        yield url, got


@pytest.mark.parametrize("line", LINES)
def test_a_curl_line_is_read_as_curl_reads_it(
    line: str, seen: tuple[str, list[Seen]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: apt install curl")
    monkeypatch.chdir(tmp_path)
    Path("body").write_bytes(b"one\ntwo&\xff\r\n")
    Path("a.PNG").write_bytes(b"")
    Path("b.json").write_bytes(b"{}")
    url, got = seen
    line = line.replace("URL", url)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    subprocess.run(["bash", "-c", line], check=True, timeout=10, stdout=subprocess.DEVNULL)
    address, request = curl_request(line)
    [sent] = got
    parts = urlsplit(address)
    target = f"{parts.path}{'?' if parts.query else ''}{parts.query}"
    media, read = _without_boundary(request.header("content-type"), request.body)
    assert (request.method, target, media, read) == (
        sent.method,
        sent.path,
        *_without_boundary(sent.headers.get("content-type"), sent.body),
    )
    for name in ("authorization", "cookie", "referer", "x-a", "x-b"):
        assert request.header(name) == sent.headers.get(name)


def _without_boundary(content_type: str | None, body: bytes) -> tuple[str | None, bytes]:
    """Return both with the same boundary: that of curl is random."""
    if content_type is None or "boundary=" not in content_type:
        return content_type, body
    media, _, boundary = content_type.partition("boundary=")
    return media, body.replace(boundary.encode(), b"boundary")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("wget http://a/b", "must begin with curl; got 'wget'"),
        ("curl -d a=1", "has no URL"),
        ("curl --proxy x http://a/b", "--proxy is not supported; leave it out, or describe the request with"),
        ("curl --digest http://a/b", "--digest is not supported; leave it out"),
        ("curl -Tfile http://a/b", "-T is not supported; leave it out"),
        ("curl --oauth2-bearer=canary --next http://a/b", "--oauth2-bearer, --next is not supported"),
        ("curl http://a/b http://a/c", "a second URL is not supported"),
        ("curl -X POST ^\n -d a=1 ^\n http://a/b", "written for the command prompt of Windows"),
        ("curl –X POST http://a/b", "typographic quotation marks or dashes"),
        ("curl -H ‘X-A: 1’ http://a/b", "typographic quotation marks or dashes"),
        ("curl --socks5 b -d 'it’s' http://a/b", "--socks5 is not supported"),
        ("curl -u me http://a/b", "-u must be written user:password"),
        ("curl -F a=1 -d b=2 http://a/b", "of which curl sends only one"),
        ("curl -F a http://a/b", "-F must be written name=content; got 'a'"),
        ("curl -F 'a=b;headers=\"X: 1\"' http://a/b", "the parameters type and filename are supported; got 'headers'"),
    ],
)
def test_what_is_no_curl_line_is_reported(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        curl_request(line)
