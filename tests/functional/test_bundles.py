"""Each bundle as a platform would take it: installed with its own requirements alone, started, and asked once."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from deploy.cli import bundle
from tests.running.processes import PATIENCE_SECONDS, ROOT

pytestmark = pytest.mark.slow

FIRST_REQUESTS: Final = {
    "receive": ("POST", "/nowhere", 404, "unknown_source"),
    "transform": ("GET", "/", 405, "method_not_allowed"),
    "notify": ("GET", "/", 405, "method_not_allowed"),
    "subscribe": ("GET", "/v1/tenants", 401, "not_authenticated"),
}

# What the framework does when it starts, and one request, in a process that then tells what came to be imported.
IMPORTED: Final = """
import asyncio, sys
from functions_framework.aio import create_asgi_app
framework = set(sys.modules)
app = create_asgi_app("receive", "main.py", "http")
body = b'{"event": "signup.created"}'
scope = {
    "type": "http", "method": "POST", "path": "/webhook", "raw_path": b"/webhook", "query_string": b"",
    "headers": [(b"x-webhook-password", b"correct horse battery"), (b"content-type", b"application/json")],
    "scheme": "http", "http_version": "1.1", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9), "root_path": "",
}
async def receive(): return {"type": "http.request", "body": body, "more_body": False}
statuses = []
async def send(event): statuses.extend([event["status"]] if "status" in event else [])
asyncio.run(app(scope, receive, send))
print("imported", *statuses, *sys.modules.keys() - framework)
"""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOOKCHAIN_CONFIG", "none")
        patch.setenv("EMAIL_ADDRESS", "ann@example.com")
        assert bundle.main(["--out", str(folder)]) == 0
    subscribers = tmp_path_factory.mktemp("build-for-subscribers")
    config = ROOT / "deploy" / "recipes" / "subscribers" / "hookchain.yaml"
    assert bundle.main(["--config", str(config), "--out", str(subscribers)]) == 0
    (subscribers / "subscribe").rename(folder / "subscribe")
    return folder


class Installed:
    def __init__(self, name: str, folder: Path, programs: Path) -> None:
        self.name = name
        self.folder = folder
        self.programs = programs

    def environ(self, state: Path) -> dict[str, str]:
        """A platform's own, in which nothing of this checkout is named."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return kept | {
            "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",
            "HOOKCHAIN_STATE": str(state),
            "XDG_RUNTIME_DIR": str(state),
            "WEBHOOK_PASSWORD": "correct horse battery",
            "SUBSCRIBERS_KEY": "a key of the test with more than 32 characters",
        }

    def run(self, program: str, *arguments: str, environ: dict[str, str] | None = None) -> str:
        return self._run([str(self.programs / program), *arguments], environ)

    def pip(self, *arguments: str) -> str:
        return self._run([sys.executable, "-m", "pip", "--python", str(self.programs / "python"), *arguments])

    def _run(self, command: list[str], environ: dict[str, str] | None = None) -> str:
        done = subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def serving(self, port: int, environ: dict[str, str]) -> Generator[subprocess.Popen[bytes], None, None]:
        command = [str(self.programs / "functions-framework"), "--target", self.name]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, cwd=self.folder, env=environ)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def ask(method: str, url: str, process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    """The answer, as soon as there is one."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert process.poll() is None, "the function ended instead of serving"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "no answer"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def install(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Installed]:
    @cache
    def installed(name: str) -> Installed:
        environment = tmp_path_factory.mktemp(f"environment-{name}")
        venv.create(environment, with_pip=False)
        this = Installed(name, bundles / name, environment / "bin")
        this.pip("install", "--quiet", "--require-hashes", "--requirement", "requirements.txt")
        return this

    return installed


@pytest.mark.parametrize("name", FIRST_REQUESTS)
def test_a_bundle_installed_alone_passes_what_googles_buildpack_runs_and_gives_its_first_answer(
    name: str, install: Callable[[str], Installed], free_port: int, tmp_path: Path
) -> None:
    installed = install(name)
    assert "No broken requirements found" in installed.pip("check")
    installed.run("python", "-m", "compileall", "-q", ".")
    method, path, status, code = FIRST_REQUESTS[name]
    with installed.serving(free_port, installed.environ(tmp_path)) as process:
        answered, body = ask(method, f"http://127.0.0.1:{free_port}{path}", process)
    assert answered == status
    assert json.loads(body)["code"] == code


def test_receive_starts_and_publishes_without_models_yaml_queries_or_a_cloud_library(
    install: Callable[[str], Installed], tmp_path: Path
) -> None:
    installed = install("receive")
    output = installed.run("python", "-c", IMPORTED, environ=installed.environ(tmp_path))
    [line] = [line for line in output.splitlines() if line.startswith("imported ")]
    _, status, *modules = line.split()
    assert status == "503", output  # it came as far as the bus, which is not there
    heavy = ("pydantic", "yaml", "jmespath", "jinja2", "google.cloud", "google.auth", "grpc")
    assert not [name for name in modules if name.startswith(heavy)]
