"""`hookchain explain`: what would happen to a request, offline, in words and in JSON."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import pytest

from deploy.requests.samples import Fresh, load_sample, sample_names
from functions.transform.transform import first_with_signed_bytes
from shared.cloud.kept_by_key import DocumentOwners
from shared.cloud.local.documents import FILE_NAME, LocalDocuments
from shared.event import from_cloudevent
from shared.jsontext import Json, JsonObject, to_json
from shared.signatures.links import EXPIRES, SIGNATURE, link_signature
from shared.subscribers.directory import TENANTS, endpoints_of
from shared.subscribers.model import Endpoint, Tenant
from tests.fakes.command import Command, as_objects, exit_code

NOW = 1_790_000_000
SECRET = "the-hub-secret-of-some-length"
LINK_KEY = "a key for links, long enough"
BODY = b'{"action":"opened","sender":{"login":"ann"}}'
CONFIG = """
sources:
  github: {provider: github, secret: github-secret}
  stripe: {provider: stripe, secret: stripe-secret}
  slack: {provider: slack, secret: slack-secret}
  form: {auth: {scheme: basic, username: web, secret: form-password}, allow: [192.0.2.0/24]}
  behind: {auth: none, allow: [192.0.2.0/24], trusted_proxies: 1}
  go: {methods: [GET], auth: {scheme: link, secret: link-key}}
  open: {auth: none, content_types: [application/json]}
  small: {auth: none, max_body_bytes: 10}
  lost: {auth: {scheme: bearer, secret: nowhere-to-be-found}}
  sns: {provider: aws_sns}
  echo: {auth: none, respond: {content_type: text/plain, body: "thanks, {{ data.name }}"}}
routes:
  - {name: all of it, from: all, to: ops}
destinations:
  ops: {email: {to: [ops@example.com], subject: "{{ type }}"}}
"""
DOTENV = f"""
GITHUB_SECRET={SECRET}
STRIPE_SECRET=whsec_stripes-own-secret
SLACK_SECRET=slacks-own-secret-0123
FORM_PASSWORD=correct-horse-battery
LINK_KEY={LINK_KEY}
"""


@pytest.fixture
def explain(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Explains the file `body`."""
    (tmp_path / "hookchain.yaml").write_text(CONFIG)
    (tmp_path / ".env").write_text(DOTENV)
    (tmp_path / "body").write_bytes(BODY)
    monkeypatch.chdir(tmp_path)
    places = ("--config", "hookchain.yaml", "--env-file", ".env", "--now", str(NOW), "--body", "body")
    return command.partial("explain", *places)


def states(report: JsonObject) -> dict[str, str]:
    return {str(check["name"]): str(check["state"]) for check in as_objects(report["checks"])}


def signed(*headers: str) -> list[str]:
    """Return the arguments of GitHub's request with BODY."""
    signature = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    given = (f"X-Hub-Signature-256: sha256={signature}", *headers)
    return ["--source", "github", *(word for header in given for word in ("-H", header))]


def test_an_accepted_request_shows_its_event(explain: Command) -> None:
    report = explain.json(*signed("X-GitHub-Event: issues"))
    assert (report["status"], report["code"]) == (200, None)
    assert set(states(report).values()) <= {"passed", "skipped"}
    [event] = as_objects(report["events"])
    assert (event["type"], event["actor"], event["receivedat"]) == ("issues", "ann", "2026-09-21T14:13:20.000Z")


def test_a_rejected_request_names_the_check_and_what_comes_behind_it_was_never_made(explain: Command) -> None:
    Path("body").write_bytes(BODY + b"\n")
    report = explain.json(*signed(), code=3)
    assert (report["status"], report["code"], report["events"]) == (401, "signature_mismatch", [])
    found = states(report)
    assert found["path"] == found["size"] == found["secret"] == "passed"
    assert found["signature"] == "failed"
    assert found["parse"] == found["event"] == "skipped"
    assert "ends in a newline that was not signed" in str(report["advice"])


def test_what_is_known_of_the_secret_does_not_hide_the_other_causes_of_a_wrong_signature(
    explain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "github-secret").write_text("an older secret of some length")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    advice = str(explain.json(*signed(), code=3)["advice"])
    assert "the body was changed on the way" in advice
    assert "which overrides GITHUB_SECRET; that has another value" in advice


@pytest.mark.parametrize(
    ("expires", "code", "signature", "message"),
    [
        (NOW + 60, 0, "passed", "valid until 2026-09-21T14:14:20.000Z"),
        (NOW - 60, 3, "passed", "the link's time is over"),
        (None, 0, "passed", "valid without a time limit"),
    ],
)
def test_a_link_is_reported_with_its_end(
    explain: Command, expires: int | None, code: int, signature: str, message: str
) -> None:
    pairs = [("a", "1"), *([] if expires is None else [(EXPIRES, str(expires))])]
    url = f"http://localhost:8080/go?{urlencode([*pairs, (SIGNATURE, link_signature('go', pairs, LINK_KEY))])}"
    Path("body").write_bytes(b"")
    assert states(explain.json("--method", "GET", "--url", url, code=code))["signature"] == signature
    assert message in explain.shown
    assert "GET; this source accepts GET, HEAD" in explain.shown  # as a 405 says


@pytest.mark.parametrize(
    ("arguments", "code", "check"),
    [
        (("--url", "http://localhost/githb"), "unknown_source", "path"),
        (("--source", "open", "--method", "DELETE"), "method_not_allowed", "method"),
        (("--source", "open", "-H", "Content-Length: 99999999999"), "body_too_large", "size"),
        (("--source", "small"), "body_too_large", "size"),
        (
            ("--source", "open", "-H", "Content-Type: application/json", "-H", "Content-Encoding: br"),
            "unsupported_encoding",
            "encoding",
        ),
        (("--source", "open", "-H", "Content-Type: text/plain"), "unsupported_content_type", "content type"),
        (("--source", "form", "--from", "198.51.100.7"), "address_not_allowed", "address"),
        (("--source", "form", "--from", "192.0.2.7"), "password_mismatch", "signature"),
        (("--source", "lost"), "secret_unavailable", "secret"),
    ],
)
def test_each_check_is_reported_by_name(explain: Command, arguments: tuple[str, ...], code: str, check: str) -> None:
    report = explain.json(*arguments, code=3)
    assert report["code"] == code
    assert [name for name, state in states(report).items() if state == "failed"] == [check]


@pytest.mark.parametrize(
    ("source", "forwarded", "message"),
    [
        ("behind", "192.0.2.7, 203.0.113.9", "203.0.113.9, from X-Forwarded-For behind 1 trusted proxy, is not within"),
        ("behind", "canary", "no address, from X-Forwarded-For"),
        ("form", "192.0.2.7", "198.51.100.7, the address that connects (X-Forwarded-For counts only"),
    ],
)
def test_an_address_that_is_rejected_is_reported_with_whose_word_it_was_taken_by(
    explain: Command, source: str, forwarded: str, message: str
) -> None:
    explain.json("--source", source, "--from", "198.51.100.7", "-H", f"X-Forwarded-For: {forwarded}", code=3)
    assert message in explain.shown
    assert "canary" not in explain.shown


def test_the_same_signed_bytes_under_another_delivery_id_are_reported_as_a_duplicate(
    explain: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path))
    [event] = as_objects(explain.json(*signed("X-GitHub-Delivery: one"))["events"])
    owners = DocumentOwners(LocalDocuments(tmp_path / "owners.db", "owners"))
    asyncio.run(first_with_signed_bytes(from_cloudevent(event), owners))  # as transform does
    owners.close()

    text = " ".join(explain(*signed("X-GitHub-Delivery: two"), code=4).split())
    assert "the delivery id is not signed" in text
    assert "same_signed_bytes: the event" in text
    assert "`dedupe: delivery_id`" in text
    assert "duplicate" not in states(explain.json(*signed("X-GitHub-Delivery: one")))


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--source", "github", "--file", "no-such-file"),
        ("--source", "github", "--config", "no-such.yaml"),
        ("--source", "github", "--from", "999.1.1.1"),
    ],
)
def test_a_usage_error_says_so(explain: Command, command: Command, arguments: tuple[str, ...]) -> None:
    command("explain", "--config", "hookchain.yaml", "--env-file", ".env", *arguments, code=2)
    assert command.error.startswith("hookchain explain: ")


def test_no_secret_and_no_header_is_shown(explain: Command) -> None:
    password = base64.b64encode(b"web:correct-horse-battery").decode()
    headers = ["-H", f"Authorization: Basic {password}", "-H", "X-Other: canary-0123456789"]
    text = explain("--source", "form", "--from", "192.0.2.7", *headers)
    for secret in ("correct-horse-battery", password, "canary-0123456789"):
        assert secret not in text


def test_a_key_from_elsewhere_cannot_be_had_offline(explain: Command) -> None:
    sample = load_sample("aws_sns", sample_names("aws_sns")[0], Fresh(NOW, "0" * 12, "0" * 10))
    Path("body").write_bytes(sample.request.body.replace(b'"Signature":""', b'"Signature":"eA=="'))
    report = explain.json("--source", "sns", code=3)
    assert (report["status"], states(report)["key"]) == (503, "failed")


ROUTES_CONFIG: Final = """\
sources:
  shop: {auth: none, id: data.id}
routes:
  - name: orders
    types: [order.*]
    to: people
  - name: paid
    types: [sign*]
    steps: [{drop: [data.password]}, {set: {data.team: north}}, {filter: {keep: data.paid, reason: not paid}}]
    to: people
  - name: broken
    steps: [{set: {data.name.first: x}}]
    to: people
  - name: rest
    else: true
    to: people
destinations:
  people: {email: {to: ann@example.com, subject: "{{ type }}", text: "For {{ data.name | default('all') }}"}}
"""
ARGUMENTS: Final = ("--config", "hookchain.yaml", "--env-file", ".env", "--source", "shop", "--file", "body")
EVENT: Final[JsonObject] = {"event": "signup.created", "id": 7, "name": "Ada", "password": "hunter2", "paid": False}


class Explain:
    """`hookchain explain`. Each call returns its lines as one, for an event and the configuration `config`."""

    def __init__(self, command: Command) -> None:
        self.config = ROUTES_CONFIG
        self._command = command.partial("explain", *ARGUMENTS)
        Path(".env").touch(0o600)

    def __call__(self, event: Json, *arguments: str, code: int = 0) -> str:
        Path("hookchain.yaml").write_text(self.config, encoding="utf-8")
        Path("body").write_text(to_json(event), encoding="utf-8")
        output = self._command("-H", "content-type: application/json", *arguments, code=code)
        assert self._command.error == ""
        return " ".join(output.split())


@pytest.fixture
def explain_route(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Explain:
    monkeypatch.chdir(tmp_path)
    return Explain(command)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            "id: data.order_id",
            "no delivery id, because `id` finds nothing ('data.order_id' is not in this event; did you mean"
            " 'data.orderId'?): the same request again is another event, unless the source has `dedupe: body`",
        ),
        ("id: data.order_id, dedupe: body", "did you mean 'data.orderId'?): the body identifies the event"),
        ("id: [header.x-id, data.who]", "`id` finds nothing (the header x-id is missing; 'data.who' is an object in"),
        (
            "id: data.orderId if data.orderd",
            "finds nothing ('data.orderd' is not in this event; did you mean 'data.ord",
        ),
        (
            "type: data.evnt",
            "`type` finds nothing ('data.evnt' is not in this event; did you mean 'data.event'?), so the type is",
        ),
        ("id: data.list.*.sku", "`id` finds nothing ('data.list.0.sku' is not in this event"),
        ("id: body.who", "`id` finds nothing (body.who has no text)"),
        ("batch: data.list.*, id: body.orderId + data.sku", "is not in this event"),
        (
            "subject: data.who.nam",
            "`subject` finds nothing ('data.who.nam' is not in this event; did you mean 'data.wh",
        ),
    ],
)
def test_a_setting_of_the_source_that_finds_nothing_is_named_with_the_likely_path(
    explain_route: Explain, settings: str, line: str
) -> None:
    explain_route.config = ROUTES_CONFIG.replace("id: data.id", settings)
    assert line in explain_route({"event": "order.paid", "orderId": 7, "who": {"name": "Ada"}, "list": [{"size": 1}]})


MISSPELT: Final = "'data.custmer.plan' is not in this event; did you mean 'data.customer.plan'?"
INTERNAL: Final = "data.custmer.plan != 'internal'"


@pytest.mark.parametrize(
    ("written", "line"),
    [
        (f"where: {INTERNAL}", f"orders matched: where {INTERNAL} is true; {MISSPELT}"),
        (f"steps: [{{filter: {INTERNAL}}}]", f"step 1 'filter': no change; {MISSPELT}"),
        ("steps: [{stop: {reason: x, when: data.custmer.plan}}]", f"step 1 'stop': no change; {MISSPELT}"),
        (f"steps: [{{switch: {{to: c, when: {INTERNAL}}}}}]", f"the chain 'c', instead of the rest; {MISSPELT}"),
    ],
)
def test_a_path_that_finds_nothing_is_named_even_if_the_event_goes_on(
    explain_route: Explain, written: str, line: str
) -> None:
    explain_route.config = ROUTES_CONFIG.replace("types: [order.*]", written) + "chains: {c: [{drop: [data.x]}]}\n"
    assert line in explain_route({"event": "signup.created", "customer": {"plan": "internal"}})


@pytest.mark.parametrize(
    ("where", "line"),
    [
        (
            "data.total > `1000` && data.plan != 'free'",
            "route 'orders', the values that its `where` read · data.total: 900 · data.plan: \"pro\"",
        ),
        ("data.totl > `1000`", "data.totl: null; did you mean data.total?"),
        ("data.rows[0][1] == `5`", "data.rows[0][1]: 2"),
        ('data."a.cd" == `1`', 'data."a.cd": null; did you mean data."a.c"?'),
        ("data.ac == `1`", 'data.ac: null; did you mean data."a.c"?'),
        ("data.none.deeper == `1`", "data.none.deeper: null"),
    ],
)
def test_a_false_condition_shows_the_values_that_it_read(explain_route: Explain, where: str, line: str) -> None:
    explain_route.config = ROUTES_CONFIG.replace("types: [order.*]", f"where: {json.dumps(where)}")
    text = explain_route({"event": "signup.created", "total": 900, "plan": "pro", "rows": [[1, 2]], "a.c": 1})
    assert line in text
    assert "step 3 'filter': not paid: data.paid is not true · data.paid: null" in text


def test_a_number_that_came_as_text_is_named_with_the_setting_that_makes_it_one(explain_route: Explain) -> None:
    explain_route.config = ROUTES_CONFIG.replace("types: [order.*]", "where: data.total > `1000`")
    text = explain_route({"event": "order.paid", "total": "1500"})
    assert "data.total is text, which never equals or exceeds a number; write to_number(data.total)" in text
    assert "`cast: {data.total: number}` on source 'shop'" in text

    explain_route.config = explain_route.config.replace("id: data.id", "cast: {data.total: number}")
    assert "orders matched: where data.total > `1000` is true" in explain_route({"event": "x", "total": "1500"})


def test_what_routes_make_of_a_request_is_reported_without_its_signature_where_that_is_asked(
    explain_route: Explain,
) -> None:
    explain_route.config = ROUTES_CONFIG.replace(
        "{auth: none", "{auth: {scheme: basic, username: web, secret: shop-password}"
    )

    text = explain_route(EVENT, "--unsigned", code=4)
    assert "- secret not checked (--unsigned)" in text
    assert "- signature assumed valid" in text
    assert "- time not checked (--unsigned)" in text
    assert "orders not_matched: type 'signup.created'" in text
    assert exit_code("explain", *ARGUMENTS) == 3


def test_a_request_that_a_step_would_make_is_reported_without_what_proves_us(explain_route: Explain) -> None:
    fetch = """- name: looked up
    steps:
      - fetch:
          url: "https://api.example.com/cards/{{ data.id }}?fields=name"
          auth: {scheme: query, parameter: key, secret: api-key}
          into: data.card
    to: people
  - name: orders"""
    explain_route.config = ROUTES_CONFIG.replace("- name: orders", fetch)
    Path(".env").write_text("API_KEY=hunter2hunter2hunter2\n", encoding="utf-8")
    text = explain_route({**EVENT, "password": "x"}, code=4)
    assert "but what is delivered depends on the answer of another system, which explain does not ask" in text

    assert "it would send GET https://api.example.com/cards/7?…, which is not sent offline" in text
    assert "hunter2" not in text
    waits = "5 s, 30 s, 2 min, 5 min, 10 min, 20 min, 30 min, 15 × 1 h"
    assert f"If that system is unavailable, only this route waits: it runs again after {waits}" in text


def test_each_step_is_shown_as_what_it_changed(explain_route: Explain) -> None:
    text = explain_route({**EVENT, "paid": True})

    changes = "~ step 1 'drop': changed - data.password: \"hunter2\" ~ step 2 'set': changed + data.team: \"north\""
    assert changes in text
    assert "= step 3 'filter': no change" in text


def test_an_event_that_becomes_several_is_reported_part_by_part(explain_route: Explain) -> None:
    explain_route.config = ROUTES_CONFIG.replace("set: {data.name.first: x}", "split: data.items")
    text = explain_route({"event": "x", "id": 8, "items": [{"sku": "A"}, {"sku": "B"}]})
    assert "step 1 'split': into 2 events" in text
    assert '-1: {"sku":"A"} + event' in text


@pytest.mark.parametrize(
    ("steps", "removed_by"),
    [
        ("- map: '{id: data.id}'", "step 1 'map'"),
        ("- drop: [data.name]", "step 1 'drop'"),
        (
            "- set: {data.team: north}\n      - rename: {data.name: who}\n      - keep: data.id",
            "step 2 'rename' or step 3 'keep'",
        ),
    ],
)
@pytest.mark.parametrize("reader", ["step", "destination"])
def test_a_missing_field_is_named_with_the_steps_that_may_have_removed_it(
    explain_route: Explain, steps: str, removed_by: str, reader: str
) -> None:
    template = "\n      - template: {data.text: '{{ data.name }}'}" if reader == "step" else ""
    explain_route.config = ROUTES_CONFIG.replace("    types: [order.*]\n", f"    steps:\n      {steps}{template}\n")
    if reader == "destination":
        explain_route.config = explain_route.config.replace("data.name | default('all')", "data.name")
    text = explain_route(EVENT, code=4)
    assert "'data.name' is not in this event" in text
    assert f"where it may be missing. The route's {removed_by} may have removed it" in text


def test_a_path_in_the_settings_of_a_destination_that_the_event_lacks_is_named(explain_route: Explain) -> None:
    explain_route.config = ROUTES_CONFIG.replace('}}"}}\n', '}}"}, digest: {every: 15m, by: data.nmae}}\n')
    text = explain_route({**EVENT, "event": "order.paid"})
    assert "'data.nmae' is not in this event; did you mean 'data.name'? It counts as null" in text


SUBSCRIBERS_CONFIG: Final = """\
sources: {shop: {auth: none}}
routes: [{name: all, to: customers}]
destinations: {customers: {subscribers: {tenant: data.account, unknown_tenant: dead_letter}}}
subscribers: {verify: VERIFY, allow_private: true}
"""
ENDPOINTS: Final[tuple[dict[str, object], ...]] = (
    {"types": ["order.*"], "filter": "data.total > `100`"},
    {"types": ["invoice.*", "user.*"]},
    {"filter": "data.total > `1000`"},
    {"filter": "sum(data.name) > `1`"},
    {"disabled_by": "failures", "disabled_reason": "it answered 500"},
    {"is_verified": False},
)
REASONS: Final = (
    "yes",
    "no, it takes the types invoice.*, user.*",
    "no, its filter is not true: data.total > `1000`",
    "no, its filter fails: ",
    "no, it is disabled by failures: it answered 500",
    "no, it has not proven yet that it wants events",
)


def explained(command: Command, event: JsonObject, verify: str, code: int = 0) -> str:
    Path("hookchain.yaml").write_text(SUBSCRIBERS_CONFIG.replace("VERIFY", verify), encoding="utf-8")
    Path("body").write_text(to_json(event), encoding="utf-8")
    known = ("--config", "hookchain.yaml", "--env-file", os.devnull, "--source", "shop", "--file", "body")
    return command("explain", *known, "-H", "content-type: application/json", code=code)


async def keep(folder: Path) -> None:
    with closing(LocalDocuments(folder / FILE_NAME)) as documents:
        await documents.write(TENANTS, "acme", Tenant(id="acme").text())
        for number, fields in enumerate(ENDPOINTS):
            known = {"tenant": "acme", "url": f"https://{number}.example.com", "is_verified": True, **fields}
            endpoint = Endpoint.model_validate({"id": f"ep_{number:020}", **known})
            await documents.write(endpoints_of("acme"), endpoint.id, endpoint.text())


def test_each_endpoint_of_this_machine_is_named_with_the_reason_against_it(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deploy.cli.explain.checkout.state_folder", lambda: tmp_path)
    asyncio.run(keep(tmp_path))
    event: JsonObject = {"type": "order.paid", "account": ["acme", "bolt"], "total": 120, "name": "x"}
    text = explained(command, event, "challenge")
    for number, reason in enumerate(REASONS):
        assert f"ep_{number:020} https://{number}.example.com: {reason}" in text
    assert "Tenant 'acme': 1 of 6 endpoints would get it." in text
    assert "Tenant 'bolt' does not exist here: the event ends as the dead letter unknown_tenant." in text
    assert "https://5.example.com: yes" in explained(command, event, "none")


@pytest.mark.parametrize(
    ("account", "total", "reason"),
    [
        ("bolt", 120, "unknown_tenant: there is no tenant 'bolt' on this machine"),
        (
            "acme",
            1,
            "no endpoint on this machine gets it: each endpoint of tenant 'acme' that takes the type order.paid",
        ),
    ],
)
def test_an_event_that_no_endpoint_gets_is_not_called_delivered(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, account: str, total: int, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deploy.cli.explain.checkout.state_folder", lambda: tmp_path)
    asyncio.run(keep(tmp_path))
    text = explained(
        command, {"type": "order.paid", "account": account, "total": total, "name": "x"}, "challenge", code=4
    )
    assert reason in " ".join(text.split())
    assert "but nothing is delivered" in text
