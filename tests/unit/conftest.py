"""What the tests of the operator's commands, and those of tokens, begin with. A test file that needs more of one makes
it of this one."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.history import local
from tests.fakes.bus import FakeBus
from tests.fakes.command import Command
from tests.fakes.kept import NOW, Kept
from tests.gcloud.stub import StubGcloud, install
from tests.gcp.metadata_server import MetadataServer
from tests.gcp.serving import served
from tests.stand_ins.google_apis import StandIn, standing_in


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """A state folder, which the commands look in, at NOW."""
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path))
    monkeypatch.setattr("time.time", lambda: NOW)
    return Kept(tmp_path)


@pytest.fixture
def config(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module's CONFIG, which the commands read, beside a state folder that does not exist yet."""
    path = tmp_path / "hookchain.yaml"
    path.write_text(str(request.module.CONFIG), encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(path))
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path / "state"))
    return path


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> FakeBus:
    """In place of the emulated one."""
    fake = FakeBus()

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[FakeBus]:
        yield fake

    monkeypatch.setattr(local, "open_local_bus", opened)
    return fake


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a person at a terminal, who answers so."""

    def answers(text: str) -> None:
        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr("builtins.input", lambda _: text)

    return answers


@pytest.fixture
def gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubGcloud:
    """The gcloud on PATH. It knows nothing but what a test has it answer."""
    stub = install(tmp_path / "bin")
    monkeypatch.setenv("PATH", stub.path)
    return stub


@pytest.fixture
def signed_in(gcloud: StubGcloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have somebody signed in to Google Cloud, whose stores do not answer."""
    gcloud.answers("auth print-access-token", "ya29.token\n")
    for name in ("PUBSUB", "FIRESTORE", "STORAGE"):
        monkeypatch.setenv(f"{name}_EMULATOR_HOST", "127.0.0.1:1")


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Google's APIs, as far as a test has them answer."""
    with standing_in() as stand_in:
        for name, value in stand_in.environ.items():
            monkeypatch.setenv(name, value)
        yield stand_in


@pytest.fixture
def metadata() -> MetadataServer:
    return MetadataServer()


@pytest.fixture
def metadata_host(metadata: MetadataServer) -> Iterator[str]:
    with served(metadata.app()) as host:
        yield host
