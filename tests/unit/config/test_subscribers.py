"""`subscribers` in the configuration: its faults, and what the slices have of it."""

from pathlib import Path

import pytest

from deploy.config.compiler import secrets_needed
from shared.jsontext import JsonObject, mapping_at, value_at
from tests.fakes.configurations import compile_text, faults_of_text

CUSTOMERS = "{subscribers: {tenant: data.accountId}}"
PEOPLE = "people: {a: {email: a@example.com}}"
TYPES = """{order.paid: {description: Paid, group: orders, schema: {required: [number]}, examples: [{number: 1}]}}"""


def text(section: str | None, customers: str = CUSTOMERS, more: str = "") -> str:
    return f"""\
sources: {{shop: {{auth: none}}}}
routes: [{{name: orders, to: customers}}]
destinations:
  customers: {customers}
  ops-webhook: {{webhook: {{url: https://ops.example.com/in}}}}
  owner-mail: {{email: {{to: data.email, subject: "{{{{ type }}}}"}}}}
{more}
{"" if section is None else "subscribers: " + section}
"""


def slices(
    section: str | None, customers: str = CUSTOMERS, more: str = "", folder: Path = Path()
) -> dict[str, JsonObject]:
    return compile_text(text(section, customers, more), folder)


def faults(section: str | None, customers: str = CUSTOMERS, more: str = "", folder: Path = Path()) -> str:
    return faults_of_text(text(section, customers, more), folder)


def test_an_empty_section_has_every_default() -> None:
    found = slices("", "{subscribers: {tenant: data.id}, rate: 10/s}", PEOPLE)["subscribe"]
    section = mapping_at(found, "subscribers")
    assert (section["verify"], section["allow_private"], section["secret"]) == ("none", False, "subscribers-key")
    assert section["limits"] == {"endpoints": 20, "headers": 10, "fields": 20, "types": 50, "filter_characters": 500}
    assert found["destinations"] == {
        "customers": {
            "tenant": "data.id",
            "type": "{{ type }}",
            "payload": "standard",
            "unknown_tenant": "dead_letter",
            "rate": "10/s",
        }
    }


def test_an_example_names_no_secret() -> None:
    types = "{a: {examples: [{secret: not-a-name}], schema: {properties: {secret: {type: string}}}}}"
    found = slices(f"{{tell: {{owners: owner-mail}}, event_types: {types}}}")
    assert secrets_needed(found) == ["subscribers-key"]


@pytest.mark.parametrize(
    ("section", "customers", "fault"),
    [
        (None, CUSTOMERS, "destination 'customers': subscribers: must have the section `subscribers`"),
        ("{}", "{email: {to: a@b.example}}", "hookchain.yaml:8: subscribers: must have a destination of the kind"),
        ("{}", CUSTOMERS, "or name this destination at `subscribers.tell.owners` if it is to mail tenants"),
        ("{tell: {operator: ops-webhok}}", CUSTOMERS, "did you mean 'ops-webhook'?"),
        ("{tell: {owners: ops-webhook}}", CUSTOMERS, "got 'ops-webhook' of the kind 'webhook'"),
        (
            "{tell: {owners: team}}",
            f"{CUSTOMERS}\n  team: {{email: {{to: a@b.example}}}}",
            "email.to: must be `data.email`",
        ),
        ("{portal: {origins: [https://app.example.com/]}}", CUSTOMERS, "must be an origin such as"),
        ("{portal: {logo: 'http://example.com/a.svg'}}", CUSTOMERS, "must be the URL of an image"),
        ("{}", "{subscribers: {tenant: data.id}, per: data.id, rate: 1/s}", "per: must not be combined with"),
        ("{tell: {operator: customers}}", CUSTOMERS, "must not be a destination of the kind `subscribers`"),
        ("{tell: {operator: owner-mail}}", CUSTOMERS, "must not take its recipient from each event"),
    ],
)
def test_a_fault_names_the_place_and_the_rule(section: str | None, customers: str, fault: str) -> None:
    assert fault in faults(section, customers)


@pytest.mark.parametrize(
    ("types", "fault"),
    [
        ("{order paid: {}}", "event type 'order paid': "),
        ("{order.paid: {shema: {}}}", "event type 'order.paid': shema: there is no such key; did you mean 'schema'?"),
        ("{order.paid: {schema: missing.json}}", "schema: the file 'missing.json', relative to"),
        (
            "{order.paid: {schema: {required: [number]}, examples: [{number: 1}, {}]}}",
            "event type 'order.paid': examples[1]: must fit the schema: data lacks 'number'",
        ),
        ("{file: broken.json}", "subscribers.event_types: broken.json: is not JSON"),
        ("{file: own.yaml}", "own.yaml: event type 'order.paid': examples[0]: must fit the schema"),
        ("{file: [good.json, good.json]}", "good.json: event type 'good': is a duplicate event type"),
    ],
)
def test_a_fault_of_an_event_type_names_it(tmp_path: Path, types: str, fault: str) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "broken.yaml").write_text("a: b\nc")
    (tmp_path / "good.json").write_text('{"type": "object"}')
    (tmp_path / "own.yaml").write_text(
        "order.paid: {schema: {type: object}, examples: [1]}\norder.sent: {shema: {}}\norder lost: {}\n"
    )
    assert fault in faults(f"{{event_types: {types}}}", folder=tmp_path)


def test_event_types_are_read_from_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "types").mkdir()
    (tmp_path / "types" / "invoice.paid.json").write_text('{"$schema": "https://json-schema.org/draft/2020-12/schema"}')
    (tmp_path / "types" / "order.json").write_text('{"type": "object"}')
    (tmp_path / "types" / "more.yaml").write_text("order.sent: {schema: order.json, deprecated: true}\n")
    (tmp_path / "openapi.yaml").write_text(
        "openapi: 3.1.0\nwebhooks: {user.created: {post: {requestBody: {content: {application/json: {}}}}}}\n"
    )
    section = "{tell: {owners: owner-mail}, event_types: {file: [types, openapi.yaml]}}"
    found = mapping_at(slices(section, folder=tmp_path)["subscribe"], "event_types")
    assert list(found) == ["invoice.paid", "order.sent", "order", "user.created"]
    assert value_at(found, "order.sent", "schema") == {"type": "object"}
