"""`develop`: whose requests may be copied, as the configuration's checks and the slices have it."""

import pytest

from deploy.config.config_file import ConfigFaults
from shared.event import read_kept_parts
from shared.jsontext import JsonObject, value_at
from shared.tap import read_tapped
from tests.fakes.configurations import compile_text, warnings_of_text

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


def slices(develop: str) -> dict[str, JsonObject]:
    return compile_text(f"{SOURCES}develop: {develop}\n")


def test_receive_keeps_the_request_of_the_listed_sources_and_transform_knows_what_they_keep_otherwise() -> None:
    found = slices("{sources: [github, mailed, raw], redact: data.card}")
    kept = {
        name: value_at(found["receive"], "sources", name, "keep_raw") for name in ("github", "mailed", "raw", "put")
    }
    assert kept == {"github": "all", "mailed": "all", "raw": "all", "put": "no"}
    assert read_tapped(found["transform"]) == ["github", "mailed", "raw"]
    assert read_kept_parts(found["transform"]) == {"mailed": "body", "raw": "all"}
    assert value_at(found["transform"], "develop", "redact") == ["data.card"]


def test_without_it_no_slice_has_anything_of_it() -> None:
    found = compile_text(SOURCES)
    assert "develop" not in str(found)
    # The messages from before its removal still have the whole request.
    assert read_kept_parts(found["transform"]) == {"mailed": "body", "raw": "all"}


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
def test_faults(develop: str, fault: str) -> None:
    with pytest.raises(ConfigFaults) as caught:
        slices(develop)
    assert fault in str(caught.value)
