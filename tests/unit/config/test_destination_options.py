"""The options of every destination, as the configuration's checks and its slice have them."""

from pathlib import Path

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import ConfigFaults, parse_config
from functions.notify.read_destinations import read_destinations
from functions.notify.registry import Configured
from shared.jsontext import JsonObject
from shared.outgoing.gate import BreakerSettings

MAIL = "email: {to: a@example.com}"


def compiled(options: str) -> Configured:
    return read_destinations(slice_of(f"{{{MAIL}, {options}}}"))["office"]


def slice_of(office: str) -> JsonObject:
    """Return notify's slice with that destination `office`."""
    text = f"""\
sources: {{form: {{auth: none}}}}
routes: [{{name: keep, from: form, to: office}}]
destinations:
  office: {office}
  pager: {{{MAIL}}}
  night: {{{MAIL}, otherwise: pager}}
"""
    return compile_config(parse_config(text, "hookchain.yaml", Path()))["notify"]


def faults(options: str) -> str:
    return faults_of(f"{{{MAIL}, {options}}}")


def faults_of(office: str) -> str:
    with pytest.raises(ConfigFaults) as caught:
        slice_of(office)
    return str(caught.value)


def test_they_are_compiled_into_the_slice() -> None:
    configured = compiled("expires_after: 10m, otherwise: night, breaker: {failures: 2, pause: 30s, max_pause: 5m}")
    assert configured.expires_after_seconds == 600
    assert configured.otherwise == "night"
    assert configured.breaker == BreakerSettings(2, 30.0, 300.0)


def test_a_breaker_is_there_unless_it_is_off() -> None:
    assert compiled("retry: [5s]").breaker == BreakerSettings(5, 60.0, 3_600.0)
    assert compiled("breaker: off").breaker is None


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ("otherwise: pagr", "there is no destination 'pagr'; did you mean 'pager'?"),
        ("otherwise: office", "must not lead back to 'office'"),
        ("success_when: 'body.ok ='", "must be a JMESPath expression over the response"),
        ("success_when: data.ok", "there is no 'data'"),
        ("success_when: body.ok", "must be a condition over an HTTP response, which 'email' does not get"),
        ("breaker: {pause: 2h}", "pause: must not exceed max_pause"),
        ("breaker: {failures: 0}", "breaker.failures"),
        ("expires_after: 0s", "expires_after"),
    ],
)
def test_a_fault_names_the_option_and_the_rule(options: str, rule: str) -> None:
    text = faults(options)
    assert "hookchain.yaml:4: destination 'office': " in text
    assert rule in text


def test_destinations_that_lead_back_to_each_other_are_a_fault_of_each() -> None:
    text = """\
sources: {form: {auth: none}}
destinations:
  a: {email: {to: a@example.com}, otherwise: b}
  b: {email: {to: a@example.com}, otherwise: c}
  c: {email: {to: a@example.com}, otherwise: b}
"""
    with pytest.raises(ConfigFaults) as caught:
        compile_config(parse_config(text, "hookchain.yaml", Path()))
    assert "b → c → b" in str(caught.value)
    assert "c → b → c" in str(caught.value)
    assert "destination 'a'" not in str(caught.value)
