"""Previews of deliveries: what is shown of each kind, to whom it goes, and when it would go out."""

import importlib
import pkgutil
from dataclasses import replace
from pathlib import Path

import pytest

import functions.notify.destinations as kinds
from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.explain.config_tests import run_config_tests
from deploy.explain.deliveries import ALONE, DeliveryPreview, Situation, preview_delivery
from deploy.explain.reference import kind_examples
from deploy.explain.rendering import MADE, masked_request, request_lines
from functions.notify.destination import kind_module
from functions.notify.examples import compile_settings, example_delivery
from functions.notify.own_kinds import NO_OWN_KINDS
from shared.delivery import Delivery
from shared.jsontext import Json
from shared.ledger import DestinationState
from shared.secrets import secret_names
from shared.times import unix_seconds
from tests.fakes.configurations import compile_text

CONFIG = """
sources: {shop: {auth: none}}
routes: [{name: orders, to: [desk, phone]}]
destinations_from: [ticket.py]
destinations:
  desk: {ticket: {title: "Return of {{ data.order }}", secret: desk-key}}
  phone: {apprise: {secret: gotify-url, title: "Order {{ data.order }}", text: "Paid:\\n{{ data }}", type: success}}
  archive: {object: {bucket: "gs://the-archive", key: "{{ data.order }}.json.gz", gzip: true, value: data}}
  lines: {log: {severity: NOTICE, fields: {order: data.order}}}
"""
KIND = '''
from functions.notify.http_kind import bearer, json_request, outcome_by_status, rendered_line, template_view
from functions.notify.kind_settings import KindSettings, LineTemplate
from shared.config.rules import SecretName


class Settings(KindSettings):
    """A ticket."""

    title: LineTemplate
    secret: SecretName


EXAMPLES = ()


def request(delivery, settings, secrets, attempt):
    title = rendered_line("title", settings.title, template_view(delivery))
    return json_request("https://desk.example.com/tickets", {"title": title}, bearer(secrets[settings.secret][0]))


def outcome(response):
    return outcome_by_status(response, "the help desk")
'''


def preview(folder: Path, destination: str, url: str = "", kind: str = KIND) -> DeliveryPreview:
    (folder / "ticket.py").write_text(kind)
    notify = compile_text(CONFIG, folder)["notify"]
    delivery = Delivery(example_delivery({"order": "A-17"}).event, "orders", destination)
    return preview_delivery(delivery, notify, {"GOTIFY_URL": url} if url else {}, Situation(0.0))


def test_the_request_of_an_own_kind_is_shown_with_its_secret_masked(tmp_path: Path) -> None:
    found = preview(tmp_path, "desk")

    assert found.check.text == "ticket: POST https://desk.example.com/tickets"
    lines = [line.strip() for line in found.lines]
    assert "authorization: Bearer <secret desk-key>" in lines
    assert '"title": "Return of A-17"' in lines


IN_QUERY = """from urllib.parse import quote

from shared.errors import Temporary
""" + KIND.replace(
    "    return",
    """    if not (url := secrets[settings.secret][0]).startswith("https://"):
        raise Temporary("secret_unusable", "it is no URL")
    return""",
    1,
).replace('tickets"', "tickets?back=\" + quote(url, safe='')")


def test_a_secret_that_a_kind_writes_into_a_query_is_masked(tmp_path: Path) -> None:
    shown = preview(tmp_path, "desk", kind=IN_QUERY).check.text
    assert shown == "ticket: POST https://desk.example.com/tickets?back=<secret desk-key>"


def test_an_object_and_a_line_of_the_log_are_shown_as_text(tmp_path: Path) -> None:
    found = preview(tmp_path, "archive")
    assert found.check.text == "object: create gs://the-archive/A-17.json.gz"
    assert '{"order":"A-17"}' in [line.strip() for line in found.lines]

    found = preview(tmp_path, "lines")
    assert found.check.text == "log: a line of the severity NOTICE"
    assert 'fields: {"order":"A-17"}' in [line.strip() for line in found.lines]


@pytest.mark.parametrize(
    ("url", "service"),
    [("gotifys://push.example.com/Atoken123", "gotifys://***"), ("", "the service"), ("Atoken123", "the service")],
)
def test_a_message_through_apprise_is_shown_with_its_service_and_text_and_without_its_url(
    tmp_path: Path, url: str, service: str
) -> None:
    found = preview(tmp_path, "phone", url)

    assert found.check.text == f"apprise: a message of type success to {service} (secret gotify-url)"
    assert [line.strip() for line in found.lines][2:5] == ["Order A-17", "", "Paid:"]
    assert "Atoken123" not in found.check.text + "\n".join(found.lines)


PEOPLE_CONFIG = """
sources: {shop: {auth: none}}
routes: [{name: orders, to: [mail, text, chat]}]
people: %s
destinations:
  mail: {email: {to: actor, from: bot@example.com}, otherwise: office}
  office: {email: {to: office@example.com}}
  text: {sms: {account: AC00000000000000000000000000000000, secret: x, from: "+15005550006", to: {person: anna}}}
  chat: {slack: {secret: s, to: data.owner}}
tests:
  - name: Anna is told
    input: {source: shop, event: {actor: anna.b, data: {owner: anna}}}
    expect:
      - {to: mail, mail: {to: anna@example.com}}
      - {to: text, request: {body: {To: "+447700900123"}}}
      - {to: chat, request: {body: {channel: U0ANNA1}}}
  - name: a stranger is nobody
    input: {source: shop, event: {actor: eve, data: {owner: anna}}}
    expect: [{to: mail}, {to: text}, {to: chat}]
    fails: unknown_person
"""
HERE = '{anna: {email: anna@example.com, phone: "+447700900123", slack: U0ANNA1, aliases: [anna.b]}}'


def preview_to(destination: str, actor: str, people: str = HERE) -> DeliveryPreview:
    notify = compile_text(PEOPLE_CONFIG % people)["notify"]
    event = replace(example_delivery({"owner": "anna"}).event, actor=actor)
    return preview_delivery(Delivery(event, "orders", destination), notify, {}, Situation(0.0))


def test_the_person_is_named_with_a_masked_address() -> None:
    assert preview_to("mail", "anna.b").check.text == "a mail to anna (a…@example.com): order.created from shop"
    assert preview_to("text", "eve").check.text.startswith("sms: to anna (+44…): POST https://api.twilio.com")
    chat = preview_to("chat", "eve")
    assert chat.check.text == "slack: to anna (U0A…): POST https://slack.com/api/chat.postMessage"
    assert any('"channel": "U0ANNA1"' in line for line in chat.lines)


def test_nobody_is_told_with_the_reason_and_who_gets_it_instead() -> None:
    found = preview_to("mail", "octocat")
    assert found.check.state == "failed"
    assert found.check.text == (
        "unknown_person: nobody in `people` is the event's actor, shown by `hookchain events show`: add that name to "
        "`aliases` of a person in `people`, or as `shop: NAME`; the event names 'octocat'; 'office' gets it instead"
    )


def test_a_list_at_a_url_is_not_read() -> None:
    at_url = "{url: 'https://hr.example.com/people?key=s3cret'}"
    assert preview_to("mail", "octocat", at_url).check.text == (
        "email: to the actor 'oct…', whom notify looks up in the list at hr.example.com"
    )
    assert "to `data.owner`, whom" in preview_to("chat", "octocat", at_url).check.text
    assert "to 'anna', whom" in preview_to("text", "octocat", at_url).check.text


def test_a_configuration_s_tests_expect_people() -> None:
    file = parse_config(PEOPLE_CONFIG % HERE, "hookchain.yaml", Path())
    results = run_config_tests(file.document, compile_config(file), file.folder)
    assert [(each.name, each.lines) for each in results if not each.passed] == []
    assert len(results) == 2


TIMED_CONFIG = """
sources: {shop: {auth: none}}
routes: [{name: orders, to: [mail]}]
people:
  ann: {email: ann@example.com, timezone: Europe/Berlin}
destinations:
  mail:
    email: {to: actor, from: bot@example.com}
    %s
"""
NOON = "2026-11-27T12:05:00Z"
NIGHT = "2026-11-27T22:10:00Z"  # ten past eleven in Berlin
QUIET = 'quiet_hours: {from: "22:00", to: "07:00"}'
DAILY = "digest: {every: 15m, by: data.repository}"


def timing(options: str, at: str, data: Json = None, state: DestinationState | None = None) -> str:
    """Return what follows the mail's subject."""
    notify = compile_text(TIMED_CONFIG % options)["notify"]
    event = replace(example_delivery(data).event, actor="ann", receivedat=at)
    situation = Situation(unix_seconds(at), {"mail": state} if state else {})
    found = preview_delivery(Delivery(event, "orders", "mail"), notify, {}, situation).check
    assert found.state == "passed"
    return found.text.partition(": order.created from shop")[2].removeprefix("; ")


BURST = "coalesce: {by: data.number, wait: 30s}"
FOR_DIGEST = "not now: it waits for the next digest, until"
FOR_MORNING = "not now: it waits for the end of the quiet hours, until 07:00 on 28 Nov (Europe/Berlin)"
LARGE: Json = {"text": "x" * 210_000}


@pytest.mark.parametrize(
    ("options", "at", "data", "expected"),
    [
        ("retry: []", NOON, None, ""),
        ("rate: 20/h", NOON, None, "at most 20 in 1 h go out; what is over that waits for a digest"),
        (DAILY, NOON, None, f"{FOR_DIGEST} 13:15 (Europe/Berlin)"),
        (DAILY, NOON, {"repository": "orchard"}, f"{FOR_DIGEST} 13:15 (Europe/Berlin); its key is 'orchard'"),
        (DAILY, NOON, LARGE, ALONE),
        (
            *(BURST, NOON, {"number": 42}),
            "not now: it waits for further events of its key, at least until 13:05:30 (Europe/Berlin); its key is '42'",
        ),
        (BURST, NOON, {}, ALONE),
        (BURST, NOON, {"number": ""}, ALONE),
        (QUIET, NOON, None, ""),
        (QUIET, NIGHT, None, FOR_MORNING),
        (QUIET, NIGHT, LARGE, FOR_MORNING),
        (QUIET.replace("}", ", tz: UTC}"), NIGHT, None, FOR_MORNING.replace("Europe/Berlin", "UTC")),
        (f"{DAILY}\n    {QUIET}", NIGHT, None, FOR_MORNING.replace("for the", "for the next digest and the")),
        (f"{QUIET}\n    expires_after: 1h", NIGHT, None, "never: it expires before the quiet hours end"),
    ],
)
def test_the_time_and_the_reason_are_in_the_recipients_time_zone(
    options: str, at: str, data: Json, expected: str
) -> None:
    assert timing(options, at, data) == expected


def test_a_destination_that_takes_nothing_says_so() -> None:
    disabled = DestinationState(disabled_reason="paused by an operator")
    assert timing("retry: []", NOON, state=disabled) == "held here until `hookchain resume mail`: paused by an operator"
    paused = DestinationState(paused_until=unix_seconds(NOON) + 60)
    assert timing("retry: []", NOON, state=paused) == "the destination is paused here until 13:06 (Europe/Berlin)"
    assert timing("retry: []", NOON, state=DestinationState(paused_until=1.0)) == ""


MODULES = {name: importlib.import_module(kind_module(name)) for _, name, _ in pkgutil.iter_modules(kinds.__path__)}
HTTP_KINDS = [name for name, module in MODULES.items() if hasattr(module, "request")]


@pytest.mark.parametrize("name", HTTP_KINDS)
def test_the_request_of_every_kind_is_shown_with_the_names_of_its_secrets(name: str) -> None:
    kind = MODULES[name]
    for example in kind_examples(name, NO_OWN_KINDS):
        written = compile_settings(kind, example.settings)
        request = masked_request(kind, example_delivery(example.data), written)
        text = "\n".join(request_lines(request))
        assert request.method == example.method
        assert "whsec_" not in text
        assert "secret.example" not in text
        shown = [f"<secret {secret}>" in text or f"%3Csecret%20{secret}%3E" in text for secret in secret_names(written)]
        assert all(shown) or MADE in text or request.auth
