"""The health of a source, and the facts about it that the journal does not have."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import pytest

from deploy.cli.status import StatusText
from deploy.cloud_access.gcp_names import Target
from deploy.config.configured import LoadedConfig, configured_at
from deploy.config.running_dev import DevFile, write_dev_file
from deploy.history import aws_logs, gcp_logs, source_access
from deploy.history.journal_view import EventSummary
from deploy.history.local_requests import RequestEntry
from deploy.history.logs import Record
from deploy.history.source_access import SourceAccess, hook_state, local_access, read_outside, read_served_outside
from deploy.history.source_health import (
    HookState,
    Outside,
    Registration,
    SourceFacts,
    health_document,
    intervals,
    judge,
    oldest_secret,
)
from deploy.history.status import SourceActivity, Status
from deploy.hooks.comparison import Difference, RememberedHook, compare
from deploy.hooks.github import APP_KIND
from deploy.hooks.kind import Hook, Wanted
from deploy.hooks.kinds import KINDS
from deploy.secrets.backend import BackendError, StoredSecret
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import Screen
from functions.notify.hook_expiry import PARTITION, SOON_SECONDS
from shared.cloud.local.documents import LocalDocuments
from shared.errors import Unanswered
from shared.fetch import Fetched, Outgoing
from shared.jsontext import JsonObject, value_at
from shared.times import rfc3339
from tests.stand_ins.hook_providers import TOKEN, GitHub

NOW: Final = 1_772_366_400.0  # 2026-03-01T12:00:00Z
DAY: Final = 86_400.0
WHERE: Final = " --platform gcp"
URL: Final = "https://hooks.example.com/shop"
LOGS: Final = f"hookchain logs --function receive --since 1d{WHERE}"
APPLY: Final = f"hookchain hooks apply shop{WHERE}"
PLAN: Final = f"hookchain hooks plan shop{WHERE}"
SOURCES: Final = f"hookchain sources shop{WHERE}"
LIVELY: Final = SourceFacts("shop", last_at=NOW - 180, last_new_at=NOW - 180, usual_seconds=240.0, overdue_seconds=DAY)
QUIET: Final = replace(LIVELY, last_at=NOW - 7 * DAY, last_new_at=NOW - 7 * DAY)
REGISTERED: Final = Registration((HookState("acme/shop", "registered"),))
UNKNOWN: Final = Registration(unasked_reason="it needs the token 'shop-token', which does not exist")


RECENT: Final = "its last event came 3 min ago"
LONG_AGO: Final = "its last event came 7 d ago"
REJECTED: Final = "a request was rejected"
NOT_KNOWN: Final = f"not known whether it is registered: {UNKNOWN.unasked_reason}"


def lively(registration: Registration) -> SourceFacts:
    return replace(LIVELY, registration=registration)


def quiet(rejected: RequestEntry | None = None, registration: Registration | None = None) -> SourceFacts:
    return replace(QUIET, rejected=rejected, registration=registration)


def hooks(*states: HookState) -> Registration:
    return Registration(states)


def rejected(status: int, code: str, detail: str = "", ago: float = 60.0) -> RequestEntry:
    return RequestEntry(NOW - ago, "POST", status, "shop", code, detail=detail)


def reported(at: float | None) -> Registration:
    return hooks(HookState("acme/shop", "registered", (), "its last delivery failed: 502 Bad Gateway", at))


@pytest.mark.parametrize(
    ("facts", "word", "reason", "command"),
    [
        (LIVELY, "healthy", RECENT, ""),
        (lively(REGISTERED), "healthy", RECENT, ""),
        (lively(UNKNOWN), "healthy", f"{RECENT}; {NOT_KNOWN}", ""),
        (
            lively(hooks(HookState("acme/shop", "registered", ("Hookchain did not make it",)))),
            "healthy",
            f"{RECENT}; acme/shop: Hookchain did not make it",
            APPLY,
        ),
        (SourceFacts("shop", REGISTERED), "healthy", "it has no event yet; it is registered", ""),
        (SourceFacts("shop"), "unknown", "it has no event yet", SOURCES),
        (SourceFacts("shop", UNKNOWN), "unknown", f"it has no event yet; {NOT_KNOWN}", PLAN),
        (
            lively(UNKNOWN._replace(remembered_expiry=NOW + SOON_SECONDS - 1)),
            "failing",
            f"its webhook expires at {rfc3339(NOW + SOON_SECONDS - 1)}; {NOT_KNOWN}",
            APPLY,
        ),
        (lively(UNKNOWN._replace(remembered_expiry=NOW + SOON_SECONDS + 1)), "healthy", f"{RECENT}; {NOT_KNOWN}", ""),
        (QUIET, "quiet", f"{LONG_AGO}, and the usual interval is 4 min", SOURCES),
        (replace(QUIET, usual_seconds=None), "quiet", LONG_AGO, SOURCES),
        (quiet(registration=REGISTERED), "quiet", f"{LONG_AGO}, and the usual interval is 4 min", PLAN),
        (
            quiet(registration=hooks(HookState("acme/shop", "unregistered", ("the hook is gone",)))),
            "unregistered",
            "acme/shop: the hook is gone",
            APPLY,
        ),
        (
            lively(Registration((HookState("", "unregistered", ("no hook",)),), url="https://t.x")),
            "unregistered",
            "no hook",
            f"hookchain hooks apply shop --url https://t.x{WHERE}",
        ),
        (
            lively(hooks(HookState("acme", "broken", ("it is not active", "it has no secret")))),
            "failing",
            "acme: it is not active; it has no secret",
            APPLY,
        ),
        (lively(reported(None)), "failing", "acme/shop: its last delivery failed: 502 Bad", LOGS),
        (lively(reported(NOW - 60)), "failing", "acme/shop: its last delivery failed", LOGS),
        (lively(reported(NOW - 600)), "healthy", RECENT, ""),
        (
            quiet(rejected(401, "signature_mismatch", "it does not match. Headers: x-a")),
            "failing",
            f"{REJECTED} 60 s ago, and no new event came since: 401 signature_mismatch: it does not match",
            SOURCES,
        ),
        (quiet(rejected(401, "a"), UNKNOWN), "failing", REJECTED, SOURCES),
        (quiet(rejected(401, "a"), REGISTERED), "failing", REJECTED, PLAN),
        (quiet(rejected(422, "schema_mismatch")), "failing", REJECTED, LOGS),
        (
            quiet(rejected(503, "secret_unavailable")),
            "failing",
            f"{REJECTED} 60 s ago, and no new event came since: 503 secret_unavailable",
            f"hookchain doctor{WHERE}",
        ),
        (replace(LIVELY, rejected=rejected(401, "a", ago=600.0)), "healthy", RECENT, ""),
        # A captured request that was sent again does not show that the sender is accepted.
        (replace(LIVELY, last_new_at=NOW - 700, rejected=rejected(401, "a", ago=600.0)), "failing", REJECTED, SOURCES),
        (
            replace(LIVELY, is_last_missed=True),
            "failing",
            "the provider could not deliver its last event, which was recovered 3 min ago",
            LOGS,
        ),
    ],
)
def test_the_first_rule_that_applies_decides(facts: SourceFacts, word: str, reason: str, command: str) -> None:
    health = judge(facts, NOW, WHERE)
    assert (health.word, health.command) == (word, command)
    assert health.reason.startswith(reason)


WANTED: Final = Wanted("shop", URL, ("issues", "push"))
HOOK: Final = Hook("1", URL, ("issues", "push"))


@pytest.mark.parametrize(
    ("wanted", "hook", "state"),
    [
        (WANTED, HOOK, "registered"),
        (WANTED, HOOK._replace(events=None), "registered"),
        (WANTED, HOOK._replace(events=("issues", "push", "star")), "registered"),
        (WANTED, HOOK._replace(events=("push",)), "broken"),
        (WANTED._replace(events=None), HOOK, "broken"),
        (WANTED, HOOK._replace(url="https://elsewhere.example.com"), "broken"),
        (WANTED, HOOK._replace(inactive="it is not active"), "broken"),
        (WANTED, HOOK._replace(has_secret=False), "broken"),
        (WANTED, None, "unregistered"),
    ],
)
def test_a_hook_is_broken_where_events_cannot_arrive(wanted: Wanted, hook: Hook | None, state: str) -> None:
    found = hook_state(wanted, Difference("acme/shop", "change" if hook else "create", ("a reason",), hook), NOW)
    assert (found.state, found.differences) == (state, ("a reason",))


@pytest.mark.parametrize(
    ("wanted_events", "state", "differences"),
    [
        (("push",), "registered", ()),
        (None, "registered", ()),
        (("issues", "push"), "broken", ("select these event types in the settings at GitHub: issues",)),
    ],
)
def test_an_app_is_broken_where_a_person_must_select_event_types(
    wanted_events: tuple[str, ...] | None, state: str, differences: tuple[str, ...]
) -> None:
    wanted = WANTED._replace(events=wanted_events)
    hook, remembered = Hook("app", URL, ("push", "star")), RememberedHook("app", URL, "fingerprint")
    difference = compare(
        APP_KIND, "apps/1", wanted, [hook], remembered=remembered, fingerprints=["fingerprint"], now=NOW
    )
    assert hook_state(wanted, difference, NOW)[1:3] == (state, differences)


def test_a_hook_that_nobody_extends_is_broken_days_before_its_end() -> None:
    hook = HOOK._replace(expires_at=NOW + DAY)
    expiry = "it expires at 2026-03-02T12:00:00.000Z"
    for remembered, reasons in ((RememberedHook("1", URL, "fingerprint"), ()), (None, ("Hookchain did not make it",))):
        difference = compare(
            KINDS["airtable"], "app1", WANTED, [hook], remembered=remembered, fingerprints=["fingerprint"], now=NOW
        )
        found = hook_state(WANTED, difference, NOW)
        assert (found.state, found.differences) == ("broken", (*reasons, expiry))


def test_a_provider_may_report_a_time_that_is_none() -> None:
    report: JsonObject = {"url": URL, "last_error_message": "no", "last_error_date": 10**400}
    hook = KINDS["telegram"].read_hook(report)
    assert hook
    found = hook_state(WANTED, Difference("", "none", (), hook), NOW)
    assert value_at(health_document(replace(LIVELY, registration=hooks(found)), NOW), "health") == "failing"
    stripe_hook: JsonObject = {"id": "we_1", "url": URL, "enabled_events": ["*"], "created": 10**400}
    created = KINDS["stripe"].read_hook(stripe_hook)
    assert created
    assert created.created_at is None


def test_the_first_end_of_a_hook_is_shown() -> None:
    difference = Difference("app1", "none", (), HOOK._replace(expires_at=NOW + 5 * DAY))
    found = hook_state(WANTED, difference, NOW)
    registration = hooks(found, found._replace(expires_at=NOW + DAY), HookState("app2", "registered"))
    assert (registration.expires_at, REGISTERED.expires_at) == (NOW + DAY, None)
    document = health_document(replace(LIVELY, registration=hooks(found)), NOW)
    assert value_at(document, "hooks", 0, "expires_at") == "2026-03-06T12:00:00.000Z"
    activity = SourceActivity("shop", NOW, 1, facts=replace(LIVELY, registration=registration))
    for now, text in ((NOW, "yes, for 24 h"), (NOW + 2 * DAY, "yes, expired")):
        assert text in "\n".join(StatusText(Screen(), now).lines(Status((), [activity])))


def events_at(*received: float) -> list[EventSummary]:
    return [EventSummary(1, "e", "shop", None, None, None, at, None, 0, "delivered") for at in received]


@pytest.mark.parametrize(
    ("received", "usual", "overdue"),
    [
        ((), None, None),
        ((NOW, NOW - 60, NOW - 120), None, None),
        ((NOW, NOW - 60, NOW - 120, NOW - 3_600), 60.0, DAY),
        ((NOW, NOW - 60, NOW - 61, NOW - 10 * DAY), 60.0, 3 * (10 * DAY - 61)),
    ],
)
def test_a_source_is_overdue_after_three_of_its_longest_intervals_and_a_day(
    received: tuple[float, ...], usual: float | None, overdue: float | None
) -> None:
    assert intervals(events_at(*received)) == (usual, overdue)


@pytest.mark.parametrize(
    ("registration", "word"),
    [
        (UNKNOWN, "unknown"),
        (REGISTERED, "yes"),
        (hooks(HookState("a", "registered", ("differs",))), "differs"),
        (hooks(HookState("a", "broken")), "differs"),
        (hooks(HookState("a", "broken"), HookState("b", "unregistered")), "no"),
    ],
)
def test_what_is_registered_is_one_word(registration: Registration, word: str) -> None:
    assert registration.word == word


def test_the_age_is_that_of_the_oldest_secret() -> None:
    source = {"auth": [{"secret": "a"}, {"secret": "b"}, {"secret": "unknown"}, {"scheme": "jwt"}]}
    assert oldest_secret(source, {"a": NOW, "b": NOW - 60, "unknown": None}) == NOW - 60  # type: ignore[arg-type]
    assert oldest_secret({"auth": "none"}, {"a": NOW}) is None


def test_the_document_has_the_facts_and_the_health() -> None:
    facts = replace(QUIET, registration=reported(NOW - 60), rejected=rejected(401, "a", ago=8 * DAY))
    document = health_document(facts, NOW)
    assert (document["health"], document["registered"], document["overdue"]) == ("failing", "yes", True)
    assert document["last_rejected"] == {"at": "2026-02-21T12:00:00.000Z", "reason": "401 a"}
    assert document["hooks"] == [
        {
            **{"at": "acme/shop", "state": "registered", "differences": []},
            **{"report": "its last delivery failed: 502 Bad Gateway", "reported_at": "2026-03-01T11:59:00.000Z"},
            "expires_at": None,
        }
    ]


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
def configuration(tmp_path: Path) -> LoadedConfig:
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
    [pattern] = aws_logs.filter_patterns(source_access.REJECTIONS)
    assert pattern.endswith(') && $.source = "*" }')
    assert "jsonPayload.source:*" in gcp_logs.log_filter(Target("acme"), source_access.REJECTIONS, NOW)


async def test_in_a_cloud_the_url_is_known_and_the_log_has_the_rejected_requests(
    configuration: LoadedConfig, access: SourceAccess
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
    configuration: LoadedConfig, access: SourceAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_access, "ASK_SECONDS", 0.05)

    def fail(*_: object) -> str:
        raise CommandError("no permission")

    late = await read_outside(configuration, access, Silent(), NOW)
    assert late.registrations["github"].unasked_reason == "its provider did not answer within 0 s"
    assert late.secrets
    monkeypatch.setattr(source_access, "ASK_SECONDS", 10.0)
    secrets = Secrets(is_readable=False)
    closed = replace(access, secrets=lambda: secrets, token=fail, rejected=fail)  # type: ignore[arg-type,return-value]
    refused = await read_outside(configuration, closed, GitHub(), NOW)
    assert refused.registrations["github"].unasked_reason == "no permission"
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
    assert "acme/gone answered 404" in registration.unasked_reason
    assert judge(SourceFacts("github", registration, last_at=NOW), NOW).word == "failing"


async def test_a_providers_fault_is_shown_without_secrets(configuration: LoadedConfig, access: SourceAccess) -> None:
    outside = await read_outside(configuration, access, Echoing(), NOW)
    unknown = outside.registrations["github"].unasked_reason
    assert "of GET" in unknown
    assert TOKEN not in unknown
    assert "a value" not in unknown


async def test_without_a_provider_the_stored_expiry_is_known(configuration: LoadedConfig, access: SourceAccess) -> None:
    def fail(name: str) -> str:
        raise CommandError(f"no token {name}")

    async with access.documents() as documents:
        assert documents
        hooks = {at: asdict(RememberedHook("1", expires_at=NOW + left)) for at, left in (("a", 90.0), ("b", 60.0))}
        await documents.write(PARTITION, "github", json.dumps({"hooks": {**hooks, "c": asdict(RememberedHook("2"))}}))
    outside = await read_outside(configuration, replace(access, token=fail), GitHub(), NOW)
    registration = outside.registrations["github"]
    assert (registration.unasked_reason, registration.expires_at) == ("no token github-token", NOW + 60)


async def test_a_former_url_in_the_providers_form_is_ours(configuration: LoadedConfig, access: SourceAccess) -> None:
    github = GitHub()
    former = "https://former.example.com/github"
    github.add("https://Former.example.com/github/", "push")
    [hook_id] = github.hooks
    async with access.documents() as documents:
        assert documents
        unanswered = RememberedHook(hook_id, former, new_url="https://hooks.example.com/github")
        await documents.write(PARTITION, "github", json.dumps({"hooks": {"acme/shop": asdict(unanswered)}}))
    outside = await read_outside(configuration, access, github, NOW)
    [hook] = outside.registrations["github"].hooks
    assert f"its URL is {former} (our former URL)" in hook.differences


async def test_reading_creates_no_file(configuration: LoadedConfig, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    secrets = Secrets()
    access = local_access(folder, lambda: secrets, {"GITHUB_TOKEN": TOKEN})  # type: ignore[arg-type,return-value]
    outside = await read_outside(configuration, access, GitHub(), NOW)
    assert outside.registrations["github"].unasked_reason.startswith("no hook was registered yet")
    assert not folder.exists()


async def test_the_page_reads_the_served_files_and_not_those_that_its_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "served.yaml"
    config.write_text("sources: {shop: {auth: {scheme: basic, secret: shop-key}}}\n", encoding="utf-8")
    (tmp_path / "served.env").write_text("SHOP_KEY=from-the-served-file\n", encoding="utf-8")
    (tmp_path / "slices").mkdir()
    receive = configured_at(config, {}).slices["receive"]
    (tmp_path / "slices" / "receive.json").write_text(json.dumps(receive), encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_ENV_FILE", str(tmp_path / "other.env"))
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(tmp_path / "other.yaml"))
    write_dev_file(tmp_path, DevFile(None, config=str(config), env_file=str(tmp_path / "served.env")))
    assert "shop-key" in (await read_served_outside(tmp_path, GitHub(), NOW)).secrets
