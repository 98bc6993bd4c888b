"""The facts about sources that the journal does not have, where a provider or a log does not answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import pytest

from deploy.cloud_access.gcp_names import Target
from deploy.config.configured import Configured, configured_at
from deploy.history import aws, gcp, source_access
from deploy.history.local_requests import RequestEntry
from deploy.history.logs import Record
from deploy.history.source_access import SourceAccess, local_access, read_outside
from deploy.history.source_health import Outside, SourceFacts, judge
from deploy.hooks.comparison import Remembered
from deploy.secrets.backend import BackendError, StoredSecret
from deploy.terminal.command_line import CommandError
from functions.notify.hook_expiry import PARTITION
from shared.cloud.local.documents import LocalDocuments
from shared.errors import Unanswered
from shared.fetch import Fetched, Outgoing
from tests.stand_ins.hook_providers import TOKEN, GitHub

NOW: Final = 1_772_366_400.0
CONFIG: Final = """
sources: {github: {provider: github, secret: github-secret, hook: {token: github-token, at: acme/shop}}}
routes: [{name: pushes, from: github, types: [push], to: people}]
destinations: {people: {email: {to: ann@example.com}}}
"""


class Secrets:
    def __init__(self, is_readable: bool = True) -> None:
        self._is_readable = is_readable

    def find(self, names: Sequence[str]) -> dict[str, StoredSecret]:
        if not self._is_readable:
            raise BackendError("no permission")
        return {name: StoredSecret("a value", "the store", set_at=NOW - 60) for name in names}


class Silent:
    """A provider that does not answer in time."""

    async def fetch(self, request: Outgoing) -> Fetched:
        await asyncio.sleep(60)
        raise Unanswered("host_unreachable", request.url)


class AskedAtOnce(GitHub):
    """A GitHub that answers about two places once it is asked about both. Only acme/shop exists."""

    def __init__(self) -> None:
        super().__init__()
        self._both = asyncio.Barrier(2)

    async def fetch(self, request: Outgoing) -> Fetched:
        async with asyncio.timeout(5):
            await self._both.wait()
        return await super().fetch(request)


class Echoing:
    """A provider that rejects each request with a text that has the secrets in it."""

    async def fetch(self, request: Outgoing) -> Fetched:
        return Fetched(403, (), json.dumps({"message": f"{TOKEN} or a value, of {request.method}"}).encode())


@pytest.fixture
def configuration(tmp_path: Path) -> Configured:
    path = tmp_path / "hookchain.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return configured_at(path, {})


@pytest.fixture
def access(tmp_path: Path) -> SourceAccess:
    @asynccontextmanager
    async def documents() -> AsyncIterator[LocalDocuments]:
        opened = LocalDocuments(tmp_path / "documents.db")
        yield opened
        opened.close()

    def rejected(since: float) -> Iterator[Record | None]:
        assert since == NOW - 86_400
        for status, source in ((401, "github"), (200, "github"), (404, None)):
            yield Record(NOW, "receive", "WARNING", {"status": status, "source": source, "code": "a", "method": "POST"})

    secrets = Secrets()
    return SourceAccess(documents, lambda: secrets, lambda _: TOKEN, lambda: "https://hooks.example.com", rejected)  # type: ignore[arg-type,return-value]


def test_requests_to_unknown_paths_are_no_rejections_of_a_source_in_a_clouds_log() -> None:
    [pattern] = aws.filter_patterns(source_access.REJECTIONS)
    assert pattern.endswith(') && $.source = "*" }')
    assert "jsonPayload.source:*" in gcp.log_filter(Target("acme"), source_access.REJECTIONS, NOW)


async def test_in_a_cloud_the_url_is_known_and_the_log_has_the_rejected_requests(
    configuration: Configured, access: SourceAccess
) -> None:
    outside = await read_outside(configuration, access, GitHub(), NOW)
    [hook] = outside.registrations["github"].hooks
    assert (hook.state, hook.differences) == ("unregistered", ("there is no hook",))
    assert outside.secrets == {"github-secret": NOW - 60}
    assert outside.rejected == [RequestEntry(NOW, "POST", 401, "github", "a")]


async def test_a_hook_is_compared_with_the_public_url_of_the_file(tmp_path: Path, access: SourceAccess) -> None:
    path = tmp_path / "hookchain.yaml"
    path.write_text(f"public_url: https://edge.example.com{CONFIG}", encoding="utf-8")
    github = GitHub()
    github.add("https://edge.example.com/github", "push")
    outside = await read_outside(configured_at(path, {}), access, github, NOW)
    [hook] = outside.registrations["github"].hooks
    assert (hook.state, hook.differences) == ("registered", ("Hookchain did not make it",))


async def test_what_cannot_be_read_is_unknown_and_hides_nothing_else(
    configuration: Configured, access: SourceAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_access, "ASK_SECONDS", 0.05)

    def fail(*_: object) -> str:
        raise CommandError("no permission")

    late = await read_outside(configuration, access, Silent(), NOW)
    assert late.registrations["github"].unknown == "its provider did not answer within 0 s"
    assert late.secrets
    monkeypatch.setattr(source_access, "ASK_SECONDS", 10.0)
    secrets = Secrets(is_readable=False)
    closed = replace(access, secrets=lambda: secrets, token=fail, rejected=fail)  # type: ignore[arg-type,return-value]
    refused = await read_outside(configuration, closed, GitHub(), NOW)
    assert refused.registrations["github"].unknown == "no permission"
    assert replace(refused, registrations={}) == Outside({}, {}, [])


async def test_a_place_that_cannot_be_listed_hides_no_fault_of_another(tmp_path: Path, access: SourceAccess) -> None:
    path = tmp_path / "hookchain.yaml"
    path.write_text(CONFIG.replace("at: acme/shop", "at: [acme/gone, acme/shop]"), encoding="utf-8")
    github = AskedAtOnce()
    github.add("https://hooks.example.com/github", "push")
    [hook_id] = github.hooks
    github.hooks[hook_id]["active"] = False
    registration = (await read_outside(configured_at(path, {}), access, github, NOW)).registrations["github"]
    assert [(each.at, each.state) for each in registration.hooks] == [("acme/shop", "broken")]
    assert "acme/gone answered 404" in registration.unknown
    assert judge(SourceFacts("github", registration, last_at=NOW), NOW).word == "failing"


async def test_a_providers_fault_is_shown_without_secrets(configuration: Configured, access: SourceAccess) -> None:
    outside = await read_outside(configuration, access, Echoing(), NOW)
    unknown = outside.registrations["github"].unknown
    assert "of GET" in unknown
    assert TOKEN not in unknown
    assert "a value" not in unknown


async def test_without_a_provider_the_stored_expiry_is_known(configuration: Configured, access: SourceAccess) -> None:
    def fail(name: str) -> str:
        raise CommandError(f"no token {name}")

    async with access.documents() as documents:
        assert documents
        hooks = {at: asdict(Remembered("1", expires_at=NOW + left)) for at, left in (("a", 90.0), ("b", 60.0))}
        await documents.write(PARTITION, "github", json.dumps({"hooks": {**hooks, "c": asdict(Remembered("2"))}}))
    outside = await read_outside(configuration, replace(access, token=fail), GitHub(), NOW)
    registration = outside.registrations["github"]
    assert (registration.unknown, registration.expires_at) == ("no token github-token", NOW + 60)


async def test_a_former_url_in_the_providers_form_is_ours(configuration: Configured, access: SourceAccess) -> None:
    github = GitHub()
    former = "https://former.example.com/github"
    github.add("https://Former.example.com/github/", "push")
    [hook_id] = github.hooks
    async with access.documents() as documents:
        assert documents
        unanswered = Remembered(hook_id, former, new_url="https://hooks.example.com/github")
        await documents.write(PARTITION, "github", json.dumps({"hooks": {"acme/shop": asdict(unanswered)}}))
    outside = await read_outside(configuration, access, github, NOW)
    [hook] = outside.registrations["github"].hooks
    assert f"its URL is {former} (our former URL)" in hook.differences


async def test_reading_creates_no_file(configuration: Configured, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    secrets = Secrets()
    access = local_access(folder, lambda: secrets, {"GITHUB_TOKEN": TOKEN})  # type: ignore[arg-type,return-value]
    outside = await read_outside(configuration, access, GitHub(), NOW)
    assert outside.registrations["github"].unknown.startswith("no hook was registered yet")
    assert not folder.exists()
