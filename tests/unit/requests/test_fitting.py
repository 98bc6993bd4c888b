"""The event that a person sends first fits what the configuration tells: schema, columns and templates."""

import json
from pathlib import Path

from deploy.config.local_ports import ports_from
from deploy.requests.command_lines import first_event_line
from deploy.requests.events import DEFAULT_DATA, fitting_data
from shared.jsontext import JsonObject
from tests.fakes.configurations import compile_text

CONFIG = """
sources:
  shop: {auth: none}
routes:
  - {name: orders, from: shop, types: [order.*], to: [orders, rows, sales, customers]}
  - {name: others, from: shop, types: [signup], to: others}
destinations:
  orders:
    sql:
      driver: sqlite
      database: orders.db
      table: orders
      columns:
        number: data.order.number
        total: {value: data.order.total, type: number}
        paid: {value: data.paid, type: boolean}
        day: {value: data.day, type: date}
        plan: data.plan
        at: receivedat
        names: "data.items[].name"
  rows: {sheet: {spreadsheet: 1ExampleOfASpreadsheet, sheet: Orders, columns: {Phone: data.phone}}}
  sales:
    email:
      to: sales@example.com
      subject: "{{ data.order.number }}: {{ data.customer.email | lower }}, {{ data.note.strip() }}"
      text: "See data.prose. {% if data.isGift %}A gift{% endif %}"
  customers: {subscribers: {tenant: data.account.id}}
  others: {email: {to: ann@example.com, subject: "{{ data.other }}"}}
subscribers: {}
"""


def compiled(config: str = CONFIG, schema: JsonObject | None = None, folder: Path = Path()) -> dict[str, JsonObject]:
    if schema is not None:
        (folder / "schema.json").write_text(json.dumps(schema))
        config = config.replace("{auth: none}", "{auth: none, schema: schema.json}")
    return compile_text(config, folder)


def test_it_has_the_fields_that_columns_tenants_and_templates_of_its_destinations_read() -> None:
    expected: JsonObject = {
        **DEFAULT_DATA,
        "order": {"number": "example", "total": 12.5},
        "paid": True,
        "day": "2026-03-01",
        "phone": "example",
        "customer": {"email": "chuckufarley@example.com"},
        "note": "example",
        "isGift": "example",
        "account": {"id": "1001"},
    }
    assert fitting_data(compiled(), "shop", "order.created") == expected
    assert fitting_data(compiled(), "shop", "signup") == {**DEFAULT_DATA, "other": "example"}


CLOSED: JsonObject = {
    "type": "object",
    "properties": {
        "order": {"type": "object", "required": ["number"], "properties": {"number": {"type": "integer"}}},
        "paid": {"type": "boolean"},
    },
    "additionalProperties": False,
}


def test_it_fits_the_schema_of_its_source_which_may_know_no_event(tmp_path: Path) -> None:
    line = first_event_line(compiled(schema=CLOSED, folder=tmp_path), ports_from(8080), {})
    assert '{"order":{"number":1,"total":12.5},"paid":true}' in (line or "")
