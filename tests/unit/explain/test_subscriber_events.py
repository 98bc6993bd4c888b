"""What routes send to subscribers, compared with the schemas of the event types."""

from pathlib import Path

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.explain.config_tests import EventTypeFindings, event_type_findings

ORDER = "order.paid: {schema: {type: object, required: [number]}}"


def findings(types: str = ORDER, steps: str = "[]", tenant: str = "data.account", tests: str = "") -> EventTypeFindings:
    text = f"""\
sources:
  app: {{auth: none, type: data.event}}
  hub: {{provider: github, secret: hub-secret}}
routes:
  - {{name: orders, from: app, steps: {steps}, to: customers}}
  - {{name: pushes, from: hub, types: [push], to: customers}}
destinations: {{customers: {{subscribers: {{tenant: {tenant}}}}}}}
subscribers: {{event_types: {{{types}}}}}
tests: [{tests}]
"""
    file = parse_config(text, "hookchain.yaml", Path())
    return event_type_findings(file, compile_config(file))


def case(body: str) -> str:
    return f"{{name: one, input: {{source: app, body: {body}}}, expect: []}}"


def test_what_fits_its_schema_is_no_finding() -> None:
    found = findings(f"{ORDER}, push: {{}}", tests=case("{event: order.paid, account: acme, number: 1}"))
    assert found == EventTypeFindings()


def test_what_a_step_takes_away_is_missed() -> None:
    [fault] = findings(steps="[{drop: [data.number]}]", tests=case("{event: order.paid, account: a, number: 1}")).faults
    assert (fault.line, fault.where) == (5, "route 'orders'")
    assert fault.rule == (
        "must send to 'customers' what fits the schema of 'order.paid'; test 'one': data lacks 'number'"
    )


def test_a_sample_of_a_provider_is_compared_too() -> None:
    [fault] = findings("push: {schema: {properties: {ref: {type: integer}}}}").faults
    assert fault.rule.endswith("of 'push'; the sample github push: data.ref is not of type integer")


def test_an_event_type_that_is_not_declared_is_a_warning() -> None:
    [sent] = findings(f"{ORDER}, push: {{}}", tests=case("{event: order.payed, account: acme}")).warnings
    assert "the type 'order.payed', which `event_types` does not have; did you mean 'order.paid'?" in sent.rule


def test_without_event_types_none_is_missing() -> None:
    assert findings("", tests=case("{event: order.payed, account: acme}")) == EventTypeFindings()


def test_a_test_whose_event_names_no_tenant_is_a_warning() -> None:
    [missing] = findings(f"{ORDER}, push: {{}}", tests=case("{event: order.paid, number: 1}")).warnings
    assert missing.rule == "sends to 'customers', in test 'one', an event without a tenant at `data.account`"


def test_a_step_that_asks_another_system_says_nothing() -> None:
    fetched = "[{fetch: {url: 'https://api.example.com/orders', into: data.order}}]"
    assert findings(f"{ORDER}, push: {{}}", steps=fetched, tests=case("{event: order.paid}")) == EventTypeFindings()
