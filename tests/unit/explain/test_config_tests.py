"""The tests of a configuration: what they expect, and what routes send to subscribers beside its schema."""

import json
from itertools import permutations
from pathlib import Path

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.explain import expectations
from deploy.explain.config_tests import require_passing_tests
from deploy.explain.event_types import EventTypeFindings, event_type_findings
from deploy.explain.rendering import FORM
from deploy.terminal.command_line import CommandError
from functions.notify.http_kind import OutgoingRequest

MAIL_CONFIG = """\
sources: {shop: {auth: none}}
routes: [{name: all, to: people}]
destinations: {people: {email: {to: a@example.com, subject: x}}}
tests:
  - {name: it goes out, input: {source: shop, body: {a: 1}}, expect: [{to: people}]}
"""


def failures(tmp_path: Path, text: str) -> str:
    path = tmp_path / "hookchain.yaml"
    path.write_text(text)
    try:
        require_passing_tests(path, {})
    except CommandError as error:
        return str(error)
    return ""


def test_a_configuration_is_deployed_only_if_its_tests_pass(tmp_path: Path) -> None:
    assert not failures(tmp_path, MAIL_CONFIG)
    assert require_passing_tests(tmp_path / "hookchain.yaml", {}) == 1
    assert require_passing_tests(None, {"EMAIL_ADDRESS": "a@example.com"}) == 0
    found = failures(tmp_path, MAIL_CONFIG.replace("expect: [{to: people}]", "expect: []"))
    assert found.startswith("nothing is deployed: 1 of the configuration's 1 tests fail")
    assert "it goes out:\n  not expected: to 'people' by route 'all'" in found


ORDERS = """\
sources: {shop: {auth: none}}
routes:
  - {name: orders, to: office, steps: [{convert: {to: xml, root: order, into: data.document}}]}
destinations:
  office:
    email:
      to: office@example.com
      subject: "Order {{ data.number }}"
      text: "Sent as {{ deliveryid | default('-') }} by {{ data.customer }}."
      attach: [{filename: "order-{{ data.number }}.xml", content: data.document}]
tests:
  - name: an order is attached as XML
    input: {source: shop, body: {number: 7, customer: Ada}}
    expect: [{to: office, mail: {subject: Order 7, holds: Ada, attachments: order-7.xml}}]
"""


def test_a_test_expects_the_files_that_are_attached_to_a_mail(tmp_path: Path) -> None:
    assert not failures(tmp_path, ORDERS)
    found = failures(tmp_path, ORDERS.replace("attachments: order-7.xml", "attachments: []"))
    assert "mail's attachments: expected none; found order-7.xml" in found


def test_a_field_that_a_template_names_and_the_event_lacks_is_reported_with_the_nearest_one(tmp_path: Path) -> None:
    found = failures(tmp_path, ORDERS.replace("by {{ data.customer }}", "by {{ data.custmer }}"))
    assert "'data.custmer' is not in this event; did you mean 'data.customer'?" in found


ACTIONS = """\
sources: {git: {provider: github, secret: git-secret}}
routes: [{name: opened, from: git, types: [issues.opened], where: action != 'closed', to: people}]
destinations: {people: {email: {to: a@example.com, subject: "{{ type }} {{ action }} in {{ subject }}"}}}
tests:
  - name: an opened issue is a mail
    input: {source: git, event: {type: issues, action: opened, subject: acme/shop, data: {}}}
    expect: [{to: people, mail: {subject: issues opened in acme/shop}}]
  - name: a request has the action too
    input: {source: git, headers: {X-GitHub-Event: issues}, body: {action: opened, repository: {full_name: acme/shop}}}
    expect: [{to: people, mail: {subject: issues opened in acme/shop}}]
  - name: a closed issue is none
    input: {source: git, event: {type: issues, action: closed, data: {}}}
    expect: []
"""


def test_a_route_a_condition_and_a_template_read_the_action(tmp_path: Path) -> None:
    assert not failures(tmp_path, ACTIONS)


REQUESTS = """\
sources: {shop: {auth: none}}
routes: [{name: orders, to: [chat, crm, phone]}]
destinations:
  chat: {slack: {secret: slack-webhook, text: "Order {{ data.number }}"}}
  crm: {webhook: {url: "https://crm.example.com/in", secret: crm-signing, headers: {x-kind: "{{ type }}"}}}
  phone:
    sms: {account: AC00000000000000000000000000000000, secret: t, from: "+15005550006", to: "+447700900123", text: Hi}
tests:
  - name: an order is a request to each
    input: {source: shop, body: {number: 7, customer: {name: Ada, plan: pro}}}
    expect:
      - {to: chat, request: {url: <secret slack-webhook>, body: {text: Order 7}}}
      - to: crm
        request:
          method: POST
          url: https://crm.example.com/in
          headers: {X-Kind: received, webhook-signature: (made with a secret)}
          body: {customer: {name: Ada}}
          holds: pro
          lacks: password
      - {to: phone, request: {body: {Body: Hi}}}
"""


def test_a_request_is_expected_as_its_destination_gets_it_with_its_secrets_masked(tmp_path: Path) -> None:
    assert not failures(tmp_path, REQUESTS)


@pytest.mark.parametrize(
    ("written", "changed", "message"),
    [
        (
            "url: https://crm.example.com/in\n          h",
            "url: https://x.example\n          h",
            "request's url: expected",
        ),
        ("X-Kind: received", "X-Kind: order", "request's header X-Kind: expected 'order', found 'received'"),
        ("body: {customer: {name: Ada}}", "body: {customer: {name: Bob}}", '- body.customer.name: "Bob"'),
        ("lacks: password", "lacks: Ada", "the request holds 'Ada'"),
        ("request: {body: {Body: Hi}}", "mail: {subject: x}", "no mail: its destination sends none"),
        ("Order {{ data.number }}", "Order {{ data.nothing }}", "no request: undefined_field"),
    ],
)
def test_what_a_request_lacks_is_reported(tmp_path: Path, written: str, changed: str, message: str) -> None:
    assert message in failures(tmp_path, REQUESTS.replace(written, changed))


@pytest.mark.parametrize(
    ("destination", "lacks"),
    [
        ('webhook: {url: "https://x.example/in", secret: s, format: form}', "ada@example.com"),
        ('webhook: {url: "https://x.example/in", secret: s, format: xml}', "Smith & Sons"),
        ('webhook: {url: "https://x.example/in", secret: s}', 'says "hi"'),
        ('webhook: {url: "https://x.example/{{ data.mail }}", secret: s, format: text, body: x}', "ada@example.com"),
        (
            'webhook: {url: "https://x.example", secret: s, headers: {x-m: "{{ data.mail }}"}, format: text, body: x}',
            "ada@",
        ),
    ],
)
def test_what_leaves_in_any_form_is_not_lacking(tmp_path: Path, destination: str, lacks: str) -> None:
    text = f"""\
sources: {{shop: {{auth: none}}}}
routes: [{{name: all, to: crm}}]
destinations: {{crm: {{{destination}}}}}
tests:
  - name: one
    input: {{source: shop, body: {{mail: ada@example.com, name: Smith & Sons, note: "she says \\"hi\\"\\n"}}}}
    expect: [{{to: crm, request: {{lacks: {json.dumps(lacks)}}}}}]
"""
    assert f"the request holds {lacks!r}" in failures(tmp_path, text)


def test_a_mails_attachment_and_its_name_are_part_of_what_it_holds(tmp_path: Path) -> None:
    text = """\
sources: {shop: {auth: none}}
routes: [{name: all, to: team}]
destinations:
  team:
    email:
      {to: [t@example.com], from: f@example.com, subject: s, text: t,
       attach: [{filename: "{{ data.name }}.txt", content: data.note}]}
tests:
  - name: one
    input: {source: shop, body: {name: Ada, note: hunter2}}
    expect: [{to: team, mail: {lacks: [Ada, hunter2]}}]
"""
    found = failures(tmp_path, text)
    assert "the mail holds 'Ada'" in found
    assert "the mail holds 'hunter2'" in found


def test_the_order_of_expected_deliveries_does_not_matter(tmp_path: Path) -> None:
    text = """\
sources: {shop: {auth: none}}
routes:
  - {name: one, to: crm, steps: [{set: {data.route: one}}]}
  - {name: two, to: crm, steps: [{set: {data.route: two}}]}
destinations: {crm: {webhook: {url: "https://crm.example.com/in", secret: s}}}
tests:
  - name: both
    input: {source: shop, body: {}}
    expect: EXPECTED
"""
    for expected in ("[{to: crm}, {to: crm, data: {route: one}}]", "[{to: crm, data: {route: two}}, {to: crm}]"):
        assert not failures(tmp_path, text.replace("EXPECTED", expected))
    assert failures(tmp_path, text.replace("EXPECTED", "[{to: crm}, {to: crm, data: {route: three}}]"))


def test_each_value_of_a_form_field_that_is_sent_twice_is_not_lacking() -> None:
    body = b"To=ada%40example.com&To=bob%40example.com"
    form = OutgoingRequest("POST", "https://example.com", (("content-type", FORM),), body)
    assert {"ada@example.com", "bob@example.com"} <= {*expectations._texts_of(form)}


def test_expected_deliveries_that_fit_several_take_none_that_another_one_needs(tmp_path: Path) -> None:
    """The first fits deliveries 1 and 2, and both others fit 1 and 3."""
    text = """\
sources: {shop: {auth: none}}
routes:
  - {name: one, to: crm, steps: [{set: {data: {}, type: t, subject: s}}]}
  - {name: two, to: crm, steps: [{set: {data: {}, type: t, subject: other}}]}
  - {name: three, to: crm, steps: [{set: {data: {}, type: u, subject: s}}]}
destinations: {crm: {webhook: {url: "https://crm.example.com/in", secret: s}}}
tests:
  - {name: three, input: {source: shop, body: {}}, expect: [EXPECTED]}
"""
    partial = ["{to: crm, type: t}", "{to: crm, subject: s}", "{to: crm, subject: s, data: {}}"]
    for expected in permutations(partial):
        assert not failures(tmp_path, text.replace("EXPECTED", ", ".join(expected)))


def test_a_request_that_cannot_be_made_is_expected_by_its_code(tmp_path: Path) -> None:
    broken = REQUESTS.replace("Order {{ data.number }}", "Order {{ data.nothing }}")
    broken = broken.replace("request: {url: <secret slack-webhook>, body: {text: Order 7}}", "type: received")
    assert "failed: undefined_field: to 'chat'" in failures(tmp_path, broken)
    assert not failures(tmp_path, broken.replace("    expect:", "    fails: undefined_field\n    expect:"))


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
    assert fault.rule.endswith("of 'push'; the sample github push: data.ref is not of type integer: it is text")


def test_an_event_type_that_is_not_declared_is_a_warning() -> None:
    [sent] = findings(f"{ORDER}, push: {{}}", tests=case("{event: order.payed, account: acme}")).warnings
    assert "the type 'order.payed', which `event_types` does not have; did you mean 'order.paid'?" in sent.rule


@pytest.mark.parametrize(
    ("types", "steps", "rule"),
    [
        ("push", "[]", ""),
        ("p*", "[]", ""),
        ("push.main", "[]", ""),  # a type and an action
        ("puhs", "[]", "'puhs' matches no type in `event_types`; did you mean 'push'?"),
        ("fork", "[]", "'fork' matches no type in `event_types`; there are: order.paid, push"),
        (
            "order.payd",
            "[{set: {type: x}}]",
            "'order.payd' matches no type in `event_types`; did you mean 'order.paid'?",
        ),
        ("fork", "[{set: {type: push}}]", ""),  # a step may make another type
    ],
)
def test_a_pattern_that_matches_no_declared_event_type_is_a_warning(types: str, steps: str, rule: str) -> None:
    text = f"""\
sources: {{app: {{auth: none, type: data.event}}}}
routes: [{{name: pushes, types: [{types}], steps: {steps}, to: customers}}]
destinations: {{customers: {{subscribers: {{tenant: data.account}}}}}}
subscribers: {{event_types: {{{ORDER}, push: {{}}}}}}
"""
    file = parse_config(text, "hookchain.yaml", Path())
    assert [each.rule for each in event_type_findings(file, compile_config(file)).warnings] == [rule] * bool(rule)


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (
            "{event: order.paid, number: 1}",
            "an event that it rejects: `tenant`: 'data.account' is not in this event; it must find the id of a tenant",
        ),
        (
            "{event: order.paid, number: 1, account: a b}",
            "an event that it rejects: `tenant` (data.account): must find the id of a tenant, as text, or a list",
        ),
        (
            "{event: order paid, account: acme}",
            "an event for which `type` results in no valid event type (such as order.paid)",
        ),
    ],
)
def test_a_test_whose_event_subscribers_cannot_get_is_a_warning(body: str, rule: str) -> None:
    [warning] = findings(f"{ORDER}, push: {{}}", tests=case(body)).warnings
    assert warning.rule.startswith(f"sends to 'customers', in test 'one', {rule}")
