from pathlib import Path

import pytest

from deploy.explain.config_tests import require_passing_tests
from deploy.terminal.command_error import CommandError

CONFIG = """\
sources: {shop: {auth: none}}
routes: [{name: all, to: people}]
destinations: {people: {email: {to: a@example.com, subject: x}}}
tests:
  - {name: it goes out, input: {source: shop, body: {a: 1}}, expect: [{to: people}]}
"""


def test_a_configuration_whose_tests_pass_is_deployed(tmp_path: Path) -> None:
    path = tmp_path / "hookchain.yaml"
    path.write_text(CONFIG)

    assert require_passing_tests(path, {}) == 1
    assert require_passing_tests(None, {"EMAIL_ADDRESS": "a@example.com"}) == 0


def test_a_configuration_whose_test_fails_is_not_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "hookchain.yaml"
    path.write_text(CONFIG.replace("expect: [{to: people}]", "expect: []"))

    with pytest.raises(CommandError, match="nothing is deployed: 1 of the configuration's 1 tests fail") as error:
        require_passing_tests(path, {})
    assert "it goes out:\n  not expected: to 'people' by route 'all'" in str(error.value)


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


def failures(tmp_path: Path, text: str) -> str:
    path = tmp_path / "hookchain.yaml"
    path.write_text(text)
    try:
        require_passing_tests(path, {})
    except CommandError as error:
        return str(error)
    return ""


def test_a_test_expects_the_files_that_are_attached_to_a_mail(tmp_path: Path) -> None:
    assert not failures(tmp_path, ORDERS)
    found = failures(tmp_path, ORDERS.replace("attachments: order-7.xml", "attachments: []"))
    assert "mail's attachments: expected none; found order-7.xml" in found


def test_a_field_that_a_template_names_and_the_event_lacks_is_reported_with_the_nearest_one(tmp_path: Path) -> None:
    found = failures(tmp_path, ORDERS.replace("by {{ data.customer }}", "by {{ data.custmer }}"))
    assert "'data.custmer' is not in this event; did you mean 'data.customer'?" in found
