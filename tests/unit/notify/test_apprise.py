"""The kind `apprise`, with the installed library and a fake way out."""

import ast
import asyncio
import importlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from functions.notify.destinations.apprise import apprise
from functions.notify.destinations.apprise.apprise import MODULES, OWN_KINDS, Settings
from functions.notify.examples import ATTEMPT, example_delivery
from shared.delivery import Delivered, Disabled, Outcome, RetryLater, Unknown
from shared.errors import Temporary
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json
from tests.fakes.destinations import a_context
from tests.fakes.fetch import FakeFetch
from tests.fakes.secrets import FakeSecrets
from tests.unit.notify.http_kinds import HOSTILE

GOTIFY = "https://push.example.com/message"
URL = "gotifys://push.example.com/Atoken123"

pytest.importorskip("apprise")


async def attempt(
    fetch: FakeFetch,
    url: str = URL,
    data: Json = "disk full",
    settings: Mapping[str, Json] | None = None,
    timeout_seconds: float = 15.0,
) -> Outcome:
    context = a_context(FakeSecrets({"service-url": url}), fetch)
    read = Settings.model_validate({"secret": "service-url", **(settings or {})})
    destination = apprise.connect("alerts", read, context)
    return await destination.attempt(example_delivery(data), replace(ATTEMPT, timeout_seconds=timeout_seconds))


def answering(status: int, body: bytes = b"{}", **headers: str) -> FakeFetch:
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return FakeFetch({GOTIFY: Fetched(status, pairs, body)})


async def test_a_message_goes_out_as_one_guarded_request() -> None:
    fetch = answering(200, b'{"id":1}')

    assert await attempt(fetch) == Delivered('200 {"id":1}')
    (request,) = fetch.asked
    assert request.method == "POST"
    assert b"disk full" in request.body
    assert b"order.created from shop" in request.body
    assert not request.allow_private


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_text_that_is_too_long_is_cut_and_sent_once(text: str) -> None:
    fetch = FakeFetch({"https://api.pushover.net/1/messages.json": Fetched(200, (), b'{"status":1}')})

    assert isinstance(await attempt(fetch, "pover://" + "u" * 30 + "@" + "a" * 30, text), Delivered)
    assert len(fetch.asked) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, RetryLater), (404, RetryLater), (307, RetryLater), (401, Disabled), (410, Disabled)],
)
async def test_the_status_decides(status: int, kind: type[Outcome]) -> None:
    fetch = answering(status, location="https://elsewhere.example.com/")

    assert isinstance(await attempt(fetch), kind)
    assert [request.url for request in fetch.asked] == [GOTIFY]


async def test_a_service_that_cannot_be_reached_or_does_not_answer_is_another_matter() -> None:
    assert isinstance(await attempt(FakeFetch()), RetryLater)
    assert isinstance(await attempt(FakeFetch(mute=[GOTIFY])), Unknown)


async def test_an_attempt_ends_with_its_time_although_a_service_still_waits() -> None:
    class Waiting(FakeFetch):
        async def fetch(self, request: Outgoing) -> Fetched:
            await asyncio.sleep(request.timeout_seconds + 5)
            raise AssertionError

    assert isinstance(await attempt(Waiting(), timeout_seconds=0.5), Unknown)


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::1]", "2130706433"])
async def test_an_address_that_is_not_public_gets_nothing(host: str) -> None:
    fetch = FakeFetch()
    outcome = await attempt(fetch, f"gotifys://{host}/Atoken123")

    assert isinstance(outcome, Disabled)
    assert "hookchain secrets set" in outcome.reason
    assert not fetch.asked


async def test_a_name_with_an_address_that_is_not_public_gets_nothing_and_is_tried_again() -> None:
    fetch = FakeFetch(names={"inner.example.com": ["10.0.0.1"]})
    outcome = await attempt(fetch, "gotifys://inner.example.com/Atoken123")

    assert isinstance(outcome, RetryLater)
    assert not fetch.asked


async def test_plain_http_and_private_addresses_need_the_operators_word() -> None:
    fetch = FakeFetch({"http://127.0.0.1:8000/message": Fetched(200, (), b"{}")})
    url = "gotify://127.0.0.1:8000/Atoken123"

    assert isinstance(await attempt(fetch, url, settings={"allow_private": True}), Delivered)
    assert isinstance(await attempt(fetch, url), Disabled)
    assert len(fetch.asked) == 1


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        *((url, "URL of a service") for url in ("syslog://", "mqtt://host/a-secret", "file:///a-secret", "x")),
        ("ntfys://a-secret", "its own, `ntfy`"),
        ("pover://only-a-secret-key", "apprise -vv URL"),
    ],
)
async def test_a_url_of_no_service_that_this_kind_supports_holds_the_deliveries(url: str, rule: str) -> None:
    fetch = FakeFetch()
    outcome = await attempt(fetch, url)

    assert isinstance(outcome, Disabled)
    assert rule in outcome.reason
    assert "a-secret" not in outcome.reason
    assert not fetch.asked


async def test_options_in_the_url_bring_no_repeats_redirects_or_unverified_servers() -> None:
    fetch = answering(500)

    await attempt(fetch, URL + "?retry=5&wait=1&redirect=yes&verify=no&overflow=split", "x" * 100_000)
    assert len(fetch.asked) == 1


async def test_what_may_have_been_accepted_stays_unknown_whatever_follows() -> None:
    exchanges = apprise.Exchanges(
        a_context(fetch=FakeFetch(mute=[GOTIFY])),
        asyncio.get_running_loop(),
        asyncio.get_running_loop().time() + 10,
        allow_private=False,
    )
    for url in (GOTIFY, "https://refused.example.com/"):
        with pytest.raises(Temporary):
            await asyncio.to_thread(exchanges.send, Outgoing("POST", url))
    assert isinstance(apprise.outcome_of("Gotify", False, exchanges), Unknown)


async def test_a_token_of_the_url_that_the_service_repeats_is_masked() -> None:
    outcome = await attempt(answering(500, b"no such token: Atoken123"))
    assert outcome.answer == "500 no such token: ***"


def test_the_package_requests_stays_as_it_is_for_everyone_else() -> None:
    importlib.import_module("apprise.plugins.gotify")
    script = """
import requests
before = {name: getattr(requests, name) for name in dir(requests)}
send = requests.adapters.HTTPAdapter.send
from functions.notify.destinations.apprise.apprise import _plugin_type
plugin = _plugin_type("gotify")
import sys
assert sys.modules[plugin.__module__].requests is not requests
assert all(getattr(requests, name) is value for name, value in before.items())
assert requests.adapters.HTTPAdapter.send is send
plugins = [name for name in sys.modules if name.startswith("apprise.plugins.")]
assert not [name for name in plugins if name.endswith(("slack", "discord", "email"))], plugins
try:
    sys.modules[plugin.__module__].requests.post("https://example.com/")
except requests.ConnectionError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "no attempt is under way\n"


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Python 3.11 and 3.12
def test_each_service_is_reached_by_the_guarded_calls_alone() -> None:
    """A plugin that imports another way to send, or takes `requests` apart, leaves the list."""
    from apprise.manager_plugins import NotificationManager

    manager = NotificationManager()  # type: ignore[no-untyped-call] # it has no types
    schemes = manager.schemas()  # type: ignore[no-untyped-call] # it has no types
    found = {scheme: manager[scheme].__module__ for scheme in schemes}
    assert {scheme: f"apprise.plugins.{module}" for scheme, module in MODULES.items()}.items() <= found.items()
    assert OWN_KINDS.keys() <= found.keys()
    for module in sorted(set(MODULES.values())):
        path = Path(str(sys.modules[f"apprise.plugins.{module}"].__file__))
        files = path.parent.glob("*.py") if path.name == "base.py" else [path]
        assert not [fault for file in files for fault in _other_ways_out(file.read_text())], module


def _other_ways_out(source: str) -> list[str]:
    """Return imports that reach a network or another process by themselves, and uses of `requests` unknown here."""
    from functions.notify.destinations.apprise.guarded_session import METHODS, SHARED

    faults = []
    known = {*METHODS, *SHARED, "request", "session", "Session"}
    risky = {"aiohttp", "ctypes", "http", "httpx", "multiprocessing", "smtplib", "socket", "subprocess", "urllib3"}
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [str(node.module)]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "requests":
            faults += [] if node.attr in known else [f"requests.{node.attr}"]
        faults += [
            name for name in names if name.partition(".")[0] in risky or name in ("urllib.request", "requests.api")
        ]
    return faults
