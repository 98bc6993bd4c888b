"""The sections alerts, silence, develop, recover and telemetry: their faults, and what the slices have of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from deploy.bundle.requirements import needed_extras
from deploy.config.compiler import compile_file
from deploy.config.config_file import ConfigFaults
from deploy.config.platform_parts import local_only
from deploy.config.sections.bus_source import resource_name
from deploy.config.sections.telemetry import ENDPOINT, TRACES_ENDPOINT
from deploy.hooks import kinds as hook_kinds
from deploy.secrets.needs import missing_effect, needs
from deploy.topology.topology import find_topology
from functions.notify.alerts.publisher import AlertSettings, Silence, read_alert_settings
from functions.notify.digests.quiet_hours import QuietHours
from functions.notify.digests.settings import Digest, GatherSettings
from functions.notify.recovery.listing import read_recovery_settings
from functions.notify.registry import read_destinations
from functions.notify.waiting.schedule import DEFAULT_RETRY_SECONDS, DIGEST_RETRY_SECONDS
from functions.receive.source import RECOVERED_NAME
from functions.transform.seen import read_intervals
from shared.event import read_kept_parts
from shared.jsontext import Json, JsonObject, value_at
from shared.ports import RECOVERED
from shared.tap import read_tapped
from tests.fakes.configurations import compile_text, faults_of_text, warnings_of_text

MAIL = "email: {to: a@example.com}"
HOOK = "webhook: {url: https://crm.example.com/in}"


def slices(
    alerts: str = "", silence: str = "", ops: str = f"{{{MAIL}, otherwise: pager}}", pager: str = f"{{{HOOK}}}"
) -> dict[str, JsonObject]:
    text = f"""\
sources:
  shop: {{auth: none{", silence: " + silence if silence else ""}}}
  other: {{auth: none}}
routes: [{{name: keep, to: crm}}]
destinations:
  crm: {{{HOOK}}}
  ops: {ops}
  pager: {pager}
people: {{anna: {{email: anna@example.com}}}}
{f"alerts: {alerts}" if alerts else ""}
"""
    return compile_text(text)


def faults(alerts: str = "", silence: str = "", **destinations: str) -> str:
    with pytest.raises(ConfigFaults) as caught:
        slices(alerts, silence, **destinations)
    return str(caught.value)


def settings(found: dict[str, JsonObject]) -> AlertSettings | None:
    return read_alert_settings(found["notify"], read_destinations(found["notify"]))


def test_who_is_told_is_in_the_slice_with_where_an_alert_may_end() -> None:
    found = slices("{to: ops}", "{after: 1h}")
    assert settings(found) == AlertSettings(
        ("ops",), {"shop": Silence(3_600.0, ("ops",), 60.0)}, {"ops": frozenset({"ops", "pager"})}
    )
    assert read_intervals(found["transform"]) == {"shop": 60.0}


def test_silence_may_name_others() -> None:
    found = settings(slices(silence="{after: 5m, to: [pager, ops]}"))
    assert found == AlertSettings((), {"shop": Silence(300.0, ("pager", "ops"), 30.0)}, {})


def test_each_destination_that_alerts_may_come_to_gathers_them_and_no_other_does() -> None:
    quiet = '{email: {to: a@example.com}, otherwise: pager, quiet_hours: {from: "22:00", to: "7:00"}}'
    found = read_destinations(slices("{to: ops, every: 10m}", ops=quiet)["notify"])
    assert found["crm"].alert_options is None
    assert [each.gather for name in ("ops", "pager") if (each := found[name].alert_options)] == [
        GatherSettings(digest=Digest(600.0, None), quiet_hours=QuietHours(22 * 60, 7 * 60, None), is_alerts=True),
        GatherSettings(digest=Digest(600.0, None), is_alerts=True, keeps_all=True),
    ]


def test_alerts_are_tried_again_like_digests_unless_the_destination_has_a_schedule_of_its_own() -> None:
    ops = read_destinations(slices("{to: ops}")["notify"])["ops"]
    assert ops.retry_seconds == DEFAULT_RETRY_SECONDS
    assert ops.alert_options is not None
    assert ops.alert_options.retry_seconds == DIGEST_RETRY_SECONDS
    own = read_destinations(slices("{to: ops}", ops=f"{{{MAIL}, retry: [5s]}}")["notify"])["ops"].alert_options
    assert own is not None
    assert own.retry_seconds == (5.0,)


def test_transform_has_a_further_table_only_where_somebody_is_told_of_silence() -> None:
    [_, transform, _] = find_topology(slices(), {}).functions
    assert transform.function.stores == ("journal", "owners")
    [_, transform, _] = find_topology(slices("{to: ops}", "{after: 1h}"), {}).functions
    assert transform.function.stores == ("journal", "owners", "grants")


@pytest.mark.parametrize(
    ("alerts", "silence", "fault"),
    [
        ("{to: opps}", "", "alerts.to: there is no destination 'opps'; did you mean 'ops'?"),
        ("{to: ops}", "{after: 59s}", "source 'shop': silence.after: must be greater than or equal to 60"),
        ("", "{after: 1h}", "source 'shop': silence: must say who gets the alert, because the file has no `alerts`"),
    ],
)
def test_faults(alerts: str, silence: str, fault: str) -> None:
    assert fault in faults(alerts, silence)


@pytest.mark.parametrize(
    ("pager", "fault"),
    [
        ("{email: {to: actor}}", "destination 'pager': email.to: gets alerts, and must not take its recipients from"),
        ('{email: {to: "{{ data.mail }}", allow_recipients: [example.com]}}', "email.to: gets alerts"),
        (f"{{{MAIL}, expires_after: 5m}}", "expires_after: must be longer than the 5 min for which alerts wait"),
    ],
)
def test_a_destination_that_cannot_get_alerts_is_a_fault_also_where_otherwise_names_it(pager: str, fault: str) -> None:
    assert fault in faults("{to: ops}", pager=pager)


SOURCES = """\
sources:
  github: {provider: github, secret: github-secret}
  mailed: {auth: {scheme: bearer, secret: key}}
  raw: {auth: {scheme: bearer, secret: key}, keep_raw: true}
  open: {auth: none}
  jobs: {bus: {pubsub: jobs}}
  mails: {provider: sendgrid, secret: sendgrid-key}
  linked: {auth: {scheme: link, secret: link-key}, methods: [GET]}
  put: {auth: {scheme: bearer, secret: key}, methods: [PUT]}
routes: [{name: mail, from: [mailed, raw], to: inbox}]
destinations: {inbox: {email: {to: a@example.com, from: b@example.com}}}
"""


def develop_slices(develop: str) -> dict[str, JsonObject]:
    return compile_text(f"{SOURCES}develop: {develop}\n")


def test_receive_keeps_the_request_of_the_listed_sources_and_transform_knows_what_they_keep_otherwise() -> None:
    found = develop_slices("{sources: [github, mailed, raw], redact: data.card}")
    kept = {
        name: value_at(found["receive"], "sources", name, "keep_raw") for name in ("github", "mailed", "raw", "put")
    }
    assert kept == {"github": "all", "mailed": "all", "raw": "all", "put": "no"}
    assert read_tapped(found["transform"]) == ["github", "mailed", "raw"]
    assert read_kept_parts(found["transform"]) == {"mailed": "body", "raw": "all"}
    assert value_at(found["transform"], "develop", "redact") == ["data.card"]


def test_without_it_transform_knows_what_messages_from_before_its_removal_keep() -> None:
    assert read_kept_parts(compile_text(SOURCES)["transform"]) == {"mailed": "body", "raw": "all"}


@pytest.mark.parametrize(
    ("settings", "redact", "warning"),
    [
        ("type: data.card.number", "data.card", "the `type` of 'shop' is read from data.card.number"),
        ("type: [header.x-a, data.items.0.kind if data.card]", "'data.items[*].kind'", "read from data.items.0.kind"),
        ("type: data.card", "data.card.number", "the `type` of 'shop' is read from data.card, so each copy has it"),
        ("type: data.cards", "data.card", ""),
        ("id: data.card, subject: data.card, action: data.card, time: data.card", "data.card", ""),  # no copy has them
    ],
)
def test_a_masked_value_that_copies_have_elsewhere_gets_a_warning(settings: str, redact: str, warning: str) -> None:
    shop = f"shop: {{auth: {{scheme: bearer, secret: key}}, {settings}}}"
    text = f"{SOURCES.replace('sources:', f'sources:{chr(10)}  {shop}')}develop: {{sources: shop, redact: {redact}}}\n"
    found = [fault.rule for fault in warnings_of_text(text) if fault.where == "develop.redact"]
    assert [warning in rule for rule in found] == ([True] if warning else [])


@pytest.mark.parametrize(
    ("develop", "fault"),
    [
        ("{sources: [githab]}", "develop.sources: there is no source 'githab'; did you mean 'github'?"),
        ("{sources: [open]}", "'open' has `auth: none`: anybody could send requests to the machines of developers"),
        ("{sources: [jobs]}", "'jobs' gets messages of a bus, and only requests can be copied"),
        ("{sources: [mails]}", "'mails' splits a body into events (`batch`), which have no request of their own"),
        ("{sources: [linked]}", "'linked' must take POST, and no links"),
        ("{sources: [put]}", "'put' must take POST"),
        ("{sources: []}", "develop.sources: "),
        ("{sources: [github], redact: [subject]}", "develop.redact"),
        ("{sources: [github], redact: [data]}", "develop.redact"),
        ("{source: github}", "develop"),
    ],
)
def test_faults_of_develop(develop: str, fault: str) -> None:
    with pytest.raises(ConfigFaults) as caught:
        develop_slices(develop)
    assert fault in str(caught.value)


def text_of(source: str, types: str = "") -> str:
    routes = (
        f"routes: [{{name: all, from: a, {types}to: there}}, {{name: off-duty, enabled: false, from: all, to: there}}]"
    )
    return f"sources: {{a: {{{source}}}}}\n{routes}\ndestinations: {{there: {{email: {{to: a@example.com}}}}}}"


GITHUB = "provider: github, secret: k, recover: {secret: token, repositories: acme/shop}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "provider: shopify, secret: k, recover: {secret: t}",
            "Hookchain recovers no events of Shopify, only of Airtable, GitHub, GitLab, Square and Stripe",
        ),
        ("auth: none, recover: {secret: t}", "`recover` needs `provider`"),
        ("provider: github, secret: k, recover: {secret: t}", "repositories is missing: such as acme/shop or acme"),
        ("provider: airtable, secret: k, recover: {secret: t}", "recover: at is missing: such as appAbCdEfGhIjKlMn"),
        ("provider: airtable, secret: k, recover: {secret: t, at: shop}", "such as appAbCdEfGhIjKlMn; got 'shop'"),
        ("provider: airtable, secret: k, recover: {secret: t, repositories: a/b}", "has no meaning for Airtable"),
        ("provider: github, secret: k, recover: {repositories: acme/shop}", "recover.secret: is missing"),
        ("provider: github, secret: k, recover: {secret: t, repositories: [a/b/c]}", "acme/shop or acme; got 'a/b/c'"),
        ("provider: stripe, secret: k, recover: {secret: t, repositories: a/b}", "has no meaning for Stripe"),
        ("provider: stripe, secret: k, recover: {secret: t, redeliver: true}", "Stripe cannot deliver an event again"),
        (f"{GITHUB}, id: data.id", "cannot be used together with `id`"),
        (f"{GITHUB}, auth: none", "cannot be used together with `auth`"),
        ("provider: stripe, secret: k, body: text, recover: {secret: t}", "cannot be used together with `body`"),
        ("provider: stripe, secret: k, recover: {secret: k}", "secret 'k' is also the source's `secret`"),
        ("bus: {pubsub: orders}, recover: {secret: t}", "`recover` "),
    ],
)
def test_a_recovery_that_cannot_work_is_a_fault(source: str, message: str) -> None:
    assert message in faults_of_text(text_of(source))


def test_recover_compiles_to_what_notify_asks_and_to_what_receive_takes() -> None:
    slices = compile_text(text_of(GITHUB, "types: [push, issues.opened], "))
    [settings] = read_recovery_settings(slices["notify"])
    assert (settings.source, settings.secret, settings.places) == ("a", "token", ("/repos/acme/shop",))
    assert settings.wants("push")
    assert settings.wants("issues", "opened")
    assert not settings.wants("issues", "closed")
    assert slices["receive"]["sources"]["a"]["recover"] == "signature"  # type: ignore[index, call-overload]
    assert "crypto" in needed_extras("receive", slices["receive"])
    [token] = [each for each in needs(slices, {}) if each.name == "token"]
    assert (token.readers, token.uses_text, token.can_be_random) == (("notify",), "recovery of a", False)
    assert missing_effect([token]) == "lost events of a are not recovered"


def test_a_route_without_types_wants_all_of_them() -> None:
    [settings] = read_recovery_settings(compile_text(text_of(GITHUB))["notify"])
    assert settings.wants("anything")


def test_events_are_recovered_from_a_provider_at_which_no_hook_can_be_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hook_kinds, "KINDS", {})
    stripe = text_of("provider: stripe, secret: k, recover: {secret: token}")
    [settings] = read_recovery_settings(compile_text(stripe)["notify"])
    assert (settings.secret, settings.places) == ("token", ())


def test_the_topic_has_a_name_that_the_bus_of_no_source_has() -> None:
    assert resource_name(RECOVERED_NAME) == RECOVERED
    assert "must be" in faults_of_text(text_of("auth: none").replace("{a:", f'{{"{RECOVERED_NAME}":'))


TRACED_SOURCES: Final = "sources: {form: {auth: none}}\n"
OTLP: Final = "https://collector.example.com"


def sections(text: str, tmp_path: Path, environ: Mapping[str, str]) -> list[Json]:
    (tmp_path / "hookchain.yaml").write_text(text)
    slices = compile_file(tmp_path / "hookchain.yaml", environ)
    return [slices[function].get("telemetry") for function in ("receive", "transform", "notify")]


def test_the_functions_that_send_get_the_section_with_its_secret_and_receive_only_a_sign() -> None:
    slices = compile_text(
        f"{TRACED_SOURCES}telemetry: {{otlp: '{OTLP}:4318/otlp/', headers_secret: collector-headers}}"
    )
    assert slices["receive"]["telemetry"] == {}
    expected = {"otlp": f"{OTLP}:4318/otlp", "headers_secret": "collector-headers"}
    assert slices["transform"]["telemetry"] == slices["notify"]["telemetry"] == expected
    [need] = [each for each in needs(slices, {}) if each.name == "collector-headers"]
    assert (need.readers, need.origin, need.can_be_random) == (("transform", "notify"), "issued", False)
    assert missing_effect([need]) == "no spans are sent"


@pytest.mark.parametrize("cloud", ["google_cloud", "aws"])
def test_a_cloud_s_own_endpoint_needs_no_more_than_its_name(cloud: str) -> None:
    slices = compile_text(f"{TRACED_SOURCES}telemetry: {cloud}")
    assert slices["receive"]["telemetry"] == {}
    assert slices["transform"]["telemetry"] == slices["notify"]["telemetry"] == {"cloud": cloud}


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ("{otlp: 'collector:4317'}", "telemetry.otlp: must be the URL of a collector"),
        (
            "{otlp: 'https://u:pw@collector.example'}",
            "telemetry.otlp: must be the URL of a collector, such as https://collector.example.com:4318; got 'https://***'",
        ),
        ("{otlp: 'http://host:abc'}", "telemetry.otlp: the URL's host is followed by something other than a port"),
        ("{otlp: 'http://host:99999'}", "telemetry.otlp: port 99999 is not one where web services listen"),
        ("{otlp: 'http://[::1'}", "telemetry.otlp: the URL's host is followed by something other than a port"),
        ("{otlp: 'http://:4318'}", "telemetry.otlp: the URL's host must be a DNS name or an address"),
        ("{otlp: 'http://[zz]:1'}", "telemetry.otlp: port 1 is not one where web services listen"),
        ("{otlp: 'http://[zz]:4318'}", "telemetry.otlp: the URL has brackets around what is no IPv6 address"),
        ("{otlp: 'http://a..b:4318'}", "telemetry.otlp: the URL's host must be a DNS name or an address"),
        (f"{{otlp: '{OTLP}/v1/traces'}}", "telemetry.otlp: must be the base URL: remove /v1/traces"),
        (f"{{otlp: '{OTLP}', traces_path: 'v1/spans'}}", "telemetry.traces_path: "),
        ("{headers_secret: x}", "telemetry.otlp"),
        ("azure", "telemetry: must be 'google_cloud' or 'aws'; got 'azure'"),
        (f"{{otlp: '{OTLP}', headers: x}}", "telemetry.headers: there is no such key"),
    ],
)
def test_faults_name_the_key_and_the_rule(section: str, fault: str) -> None:
    assert fault in faults_of_text(f"{TRACED_SOURCES}telemetry: {section}\n")


@pytest.mark.parametrize(
    ("environ", "section"),
    [
        ({ENDPOINT: f"{OTLP}/"}, {"otlp": OTLP}),
        ({TRACES_ENDPOINT: f"{OTLP}/api/v1/traces"}, {"otlp": f"{OTLP}/api", "metrics": False}),
        ({TRACES_ENDPOINT: OTLP}, {"otlp": OTLP, "traces_path": "/", "metrics": False}),
        (
            {TRACES_ENDPOINT: f"{OTLP}/in/v1/traces/", ENDPOINT: OTLP},
            {"otlp": OTLP, "traces_path": "/in/v1/traces/"},
        ),
        (
            {TRACES_ENDPOINT: f"{OTLP}/v1/traces", ENDPOINT: "https://metrics.example.com"},
            {"otlp": OTLP, "metrics": False},
        ),
        ({TRACES_ENDPOINT: f"{OTLP}/v1/traces", ENDPOINT: f"{OTLP}/"}, {"otlp": OTLP}),
        ({ENDPOINT: OTLP, "OTEL_METRICS_EXPORTER": "none"}, {"otlp": OTLP, "metrics": False}),
        (
            {ENDPOINT: OTLP, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abc"},
            {"otlp": OTLP, "headers_secret": "otel-exporter-otlp-headers"},
        ),
        (
            {ENDPOINT: OTLP, "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=a%20b,team=ops"},
            {"otlp": OTLP, "resource": {"deployment.environment.name": "a b", "team": "ops"}},
        ),
    ],
)
def test_opentelemetry_s_variables_make_the_section(
    environ: dict[str, str], section: JsonObject, tmp_path: Path
) -> None:
    expected = {"resource": {}, **section}
    assert sections(TRACED_SOURCES, tmp_path, environ) == [{}, expected, expected]


@pytest.mark.parametrize("switch", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}, {ENDPOINT: ""}])
def test_without_an_endpoint_or_switched_off_they_make_none(switch: dict[str, str], tmp_path: Path) -> None:
    assert sections(TRACED_SOURCES, tmp_path, {ENDPOINT: OTLP, **switch}) == [None, None, None]


def test_the_section_counts_before_the_variables(tmp_path: Path) -> None:
    text = f"{TRACED_SOURCES}telemetry: {{otlp: '{OTLP}'}}"
    assert sections(text, tmp_path, {ENDPOINT: "https://other"})[1] == {"otlp": OTLP}


@pytest.mark.parametrize("name", [ENDPOINT, TRACES_ENDPOINT])
@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("collector:4317", "must be the URL .*; got 'collector:4317'"),
        ("http://host:abc", "the URL's host .*; got 'http://host:abc'"),
        ("http://u:secretpw@host:4318", r"must be the URL .*; got 'http://\*\*\*'"),
        ("http://host:4318?token=secretpw", r"must be the URL .*; got 'http://\*\*\*'"),
        ("u:secretpw@host:4318", r"must be the URL .*; got '\*\*\*'"),
    ],
)
def test_a_variable_that_is_no_url_is_a_fault_with_its_value_but_no_credential(
    url: str, fault: str, name: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigFaults, match=rf"^{name}: {fault}. Or set") as found:
        sections(TRACED_SOURCES, tmp_path, {name: url})
    assert "secretpw" not in str(found.value)


def test_a_deployment_cannot_reach_a_collector_on_this_machine() -> None:
    slices = compile_text(f"{TRACED_SOURCES}telemetry: {{otlp: 'http://localhost:4318'}}")
    [(place, _, rule)] = local_only(slices)
    assert place == ("telemetry",)
    assert "`otlp` is at localhost, which is this machine only" in rule
