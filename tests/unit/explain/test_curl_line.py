"""A curl line is the request that curl would send: compared with what curl itself sends, where it is installed."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.explain.request_options import curl_request

Seen = tuple[str, str, dict[str, str], bytes]

LINES = [
    "curl URL/a -XPUT -H'X-A: 1' --data-binary @body",
    "curl URL/a -d @body",
    "curl -sS -f URL/a -d a=1 -d 'b=x y'",
    "curl --compressed URL/a?x=1 -G -d a=1 --data-urlencode 'q=a b&c'",
    "curl --url URL/a --json '{\"a\": 1}' -A me/1 -b 'k=v; l=w' -e http://b.example/",
    "curl URL/a -o /dev/null -w '' -m 5 --data-urlencode '=a=b' --data-urlencode 'n@body' --data-urlencode 'é ~'",
    'curl URL/a --data-raw $\'{\\n  "name": "O\\\'Neill\\u0021 Jos\\u00e9 \\\\n"}\'',
    "curl -u me:secret-word \\\n  URL/a \\\n  --data-raw '@body'",
]


@pytest.fixture
def seen() -> Iterator[tuple[str, list[Seen]]]:
    got: list[Seen] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            got.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        do_GET = do_POST = do_PUT = answer  # noqa: N815 the names are the library's

        def log_message(self, format: str, *args: object) -> None:
            """Not on the tests' screen."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", got
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("line", LINES)
def test_a_curl_line_is_read_as_curl_reads_it(
    line: str, seen: tuple[str, list[Seen]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: apt install curl")
    monkeypatch.chdir(tmp_path)
    Path("body").write_bytes(b"one\ntwo&\xff\r\n")
    url, got = seen
    line = line.replace("URL", url)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    subprocess.run(["bash", "-c", line], check=True, timeout=10, stdout=subprocess.DEVNULL)
    address, request = curl_request(line)
    [(method, path, headers, body)] = got
    parts = urlsplit(address)
    assert (request.method, f"{parts.path}{'?' if parts.query else ''}{parts.query}", request.body) == (
        method,
        path,
        body,
    )
    for name in ("content-type", "authorization", "cookie", "referer", "x-a"):
        assert request.header(name) == headers.get(name)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("wget http://a/b", "must begin with curl; got 'wget'"),
        ("curl -d a=1", "has no URL"),
        ("curl --proxy x http://a/b", "cannot parse this curl line"),
    ],
)
def test_what_is_no_curl_line_is_reported(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        curl_request(line)
