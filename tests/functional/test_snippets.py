"""The programs that `hookchain sources NAME --snippet` prints, run against a real receive."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.config.sections.catalogue import load_catalogue
from deploy.requests.events import first_places
from deploy.requests.snippet import find_sender, make_snippet
from deploy.requests.sources import compiled_sources
from functions.receive.receive import Accepted
from shared.errors import HookchainError
from shared.event import Event
from shared.http import Request as HookRequest
from shared.jsontext import JsonObject, mapping_at
from tests.in_process.signed_samples import FRESH, Range, on_range
from tests.running.ports import free_port
from tests.running.processes import PATIENCE_SECONDS, ROOT, Request, functions_framework, started
from tests.stand_ins.bus import command

pytestmark = pytest.mark.slow

CONFIG: Final = """
sources:
  basic: {auth: {scheme: basic, username: 'w"$b`\\', secret: a-secret}}
  header: {auth: {scheme: header, header: X-Token, secret: a-secret}, id: data.id, type: data.meta.type}
  bearer: {auth: {scheme: bearer, secret: a-secret}, type: header.X-Kind}
  path: {auth: {scheme: path, secret: a-secret}}
  query: {auth: {scheme: query, parameter: key, secret: a-secret}, type: query.kind}
  hex: {auth: {scheme: hmac, header: X-Sig, prefix: sha256=, secret: a-secret}}
  url: {auth: {scheme: hmac, header: X-Sig, algorithm: sha512, encoding: base64url, secret: a-secret}}
  hexed:
    auth: {scheme: hmac, header: X-Sig, algorithm: sha1, encoding: base64-of-hex, prefix: '$v=', secret: a-secret}
    id: header.X-Id
  standard: {auth: {scheme: standard-webhooks, secret: a-key}, id: header.webhook-id}
  several: {auth: [{scheme: token, at: query.t, secret: a-key}, {scheme: bearer, secret: a-secret}]}
  open: {auth: none}
"""
SECRETS: Final = {"A_SECRET": 'its "own" $HOME \\ `x` & 100%', "A_KEY": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
FORGED: Final = {"basic", "hex", "path"}  # three are enough to show that a program fails where it should
SOURCES: Final = sorted(compiled_sources(compile_config(parse_config(CONFIG, "test.yaml", Path()))["receive"]))


@dataclass(frozen=True, slots=True)
class Receive:
    """A running receive, and the programs that send to it: a folder for each language."""

    port: int
    folder: Path
    sources: dict[str, JsonObject]

    def snippet(self, language: str, source: str, name: str) -> Path:
        settings = mapping_at(self.sources[source])
        sender = find_sender(source, settings, f"http://127.0.0.1:{self.port}/{source}", {})
        path = self.folder / name
        path.write_text(make_snippet(language, sender), encoding="utf-8")
        return path


@pytest.fixture(scope="module")
def receive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receive]:
    folder = tmp_path_factory.mktemp("snippets")
    slice_file = folder / "slice.json"
    slices = compile_config(parse_config(CONFIG, "test.yaml", Path()))
    slice_file.write_text(json.dumps(slices["receive"]), encoding="utf-8")
    bus_port, port = free_port(), free_port()
    environ = {
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{bus_port}",
        "HOOKCHAIN_SLICE": str(slice_file),
        "HOOKCHAIN_STATE": str(folder),
        **SECRETS,
    }
    first = Request("/open", b"{}", {"Content-Type": "application/json"})
    with (
        started(command("rest", bus_port), {}, bus_port, first, ready="open"),
        started(functions_framework("functions/receive", "receive", port), environ, port, first),
    ):
        yield Receive(port, folder, compiled_sources(slices["receive"]))


def run(line: list[str], **changed: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **SECRETS, "PYTHONPATH": str(ROOT / "deploy" / "client"), **changed}
    return subprocess.run(line, env=environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS)


def assert_sends(line: list[str], source: str) -> None:
    """The event is accepted. With another secret it is rejected, and the exit code says so."""
    done = run(line)
    assert done.returncode == 0, done.stderr
    assert "not accepted" not in done.stderr
    if source in FORGED:
        wrong = run(line, A_SECRET="another secret")
        assert wrong.returncode != 0
        assert "401" in wrong.stdout + wrong.stderr


@pytest.mark.parametrize("source", SOURCES)
def test_the_python_program_sends(source: str, receive: Receive) -> None:
    assert_sends([sys.executable, str(receive.snippet("python", source, f"{source}.py"))], source)


@pytest.mark.parametrize("source", SOURCES)
def test_the_shell_script_sends(source: str, receive: Receive) -> None:
    for program in ("curl", "openssl"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not here: install the package {program}")
    assert_sends(["/bin/sh", str(receive.snippet("curl", source, f"{source}.sh"))], source)


@pytest.fixture(scope="module")
def javascript(receive: Receive, node_package: Callable[[str], Path]) -> Path:
    """The folder of the TypeScript programs, compiled by the strict compiler, which finds no error in them."""
    compiler, types = node_package("typescript"), node_package("@types/node")
    files = [str(receive.snippet("typescript", source, f"{source}.mts")) for source in SOURCES]
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck", "--outDir"]
    roots = ["--typeRoots", str(types.parent), "--types", "node"]
    out = receive.folder / "javascript"
    done = run(["node", str(compiler / "bin" / "tsc"), *options, str(out), *roots, *files])
    assert done.returncode == 0, done.stdout
    return out


@pytest.mark.parametrize("source", SOURCES)
def test_the_typescript_program_is_correct_and_sends(source: str, javascript: Path) -> None:
    assert_sends(["node", str(javascript / f"{source}.mjs")], source)


def test_an_answer_that_is_no_2xx_is_no_success(receive: Receive) -> None:
    for language, program in (("python", [sys.executable]), ("curl", ["/bin/sh"])):
        path = receive.snippet(language, "open", f"nowhere.{language}")
        path.write_text(path.read_text().replace("/open", "/nowhere"), encoding="utf-8")
        assert run([*program, str(path)]).returncode == 1
        path.write_text(path.read_text().replace(f":{receive.port}/", f":{free_port()}/"), encoding="utf-8")
        assert run([*program, str(path)]).returncode != 0


PROVIDERS: Final = sorted(load_catalogue())
REFUSALS: Final = ("no snippet can sign", "a snippet sends JSON")


@dataclass(slots=True)
class Provider:
    """A source of one provider, and an HTTP server that passes the requests to it on to a receiver in this process."""

    firing: Range
    address: str = ""
    rejections: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def accepts(self, request: HookRequest) -> bool:
        try:
            result = self.firing.received(request)
        except HookchainError as error:
            self.rejections.append(str(error))
            return False
        assert isinstance(result, Accepted)
        self.events += result.events
        return True

    def snippet(self, language: str) -> str:
        name = self.firing.aim.source.name
        return make_snippet(language, find_sender(name, self.firing.aim.settings, f"{self.address}/{name}", {}))


@pytest.fixture
def provider(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Provider]:
    """The provider of the parameter."""
    fresh = replace(FRESH, now=time.time())
    provider = Provider(on_range(request.param, tmp_path, fresh))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            path, _, query = self.path.partition("?")
            headers = tuple((name.lower(), value) for name, value in self.headers.items())
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200 if provider.accepts(HookRequest("POST", path, query, headers, body)) else 401)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield provider
        server.shutdown()
        thread.join(PATIENCE_SECONDS)


@pytest.mark.parametrize("provider", PROVIDERS, indirect=True)
@pytest.mark.parametrize(("language", "program"), [("curl", "/bin/sh"), ("python", sys.executable)])
def test_a_providers_source_accepts_the_program_unless_no_snippet_is_printed(
    language: str, program: str, provider: Provider, tmp_path: Path
) -> None:
    try:
        text = provider.snippet(language)
    except ValueError as refusal:
        assert any(reason in str(refusal) for reason in REFUSALS), refusal
        return
    path = tmp_path / "snippet"
    path.write_text(text, encoding="utf-8")
    done = run([program, str(path)], **provider.firing.keys.environ)
    assert done.returncode == 0, (provider.rejections, done.stdout, done.stderr)
    [event] = provider.events
    type_places = first_places(provider.firing.aim.settings.get("type"))
    is_written = any(place.startswith(("header.", "data.")) for place in type_places)
    assert event.type == "password_created" or not is_written
