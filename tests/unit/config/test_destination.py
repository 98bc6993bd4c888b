"""The options of every destination: their faults, and what notify's slice has of them."""

import pytest

from deploy.config.config_file import ConfigFaults
from functions.notify.digests.quiet_hours import QuietHours
from functions.notify.digests.settings import Coalesce, Digest, GatherSettings
from functions.notify.registry import DeliveryOptions, read_destinations
from shared.outgoing.circuit import BreakerSettings
from tests.fakes.configurations import compile_text, faults_of_text

MAIL = "email: {to: a@example.com}"
HOOK = "webhook: {url: https://crm.example.com/in}"
TEMPLATED = 'email: {to: "{{ data.mail }}", allow_recipients: [example.com]}'


def compiled(options: str, kind: str = MAIL) -> DeliveryOptions:
    """Return the destination `office`, which has these options."""
    text = f"""\
sources: {{form: {{auth: none}}}}
routes: [{{name: keep, from: form, to: office}}]
destinations:
  office: {{{kind}, {options}}}
  pager: {{{MAIL}}}
  night: {{{MAIL}, otherwise: pager}}
"""
    notify = compile_text(text)["notify"]
    return read_destinations(notify)["office"]


def test_options_are_compiled_into_the_slice() -> None:
    found = compiled(
        "expires_after: 10m, otherwise: night, breaker: {failures: 2, pause: 30s, max_pause: 5m}, "
        "rate: 10/s, in_flight: 5, per: data.customer.id"
    )
    assert (found.expires_after_seconds, found.otherwise) == (600, "night")
    assert found.breaker == BreakerSettings(2, 30.0, 300.0)
    assert (found.rate, found.in_flight, found.per) == ((10, 1.0), 5, "data.customer.id")


def test_a_destination_without_options_has_a_breaker_and_no_caps() -> None:
    found = compiled("timeout: 20s")
    assert found.breaker == BreakerSettings(5, 60.0, 3_600.0)
    assert (found.rate, found.in_flight, found.per, found.gather) == (None, None, None, None)
    assert compiled("breaker: off").breaker is None


@pytest.mark.parametrize(
    ("kind", "options", "gathering"),
    [
        (
            MAIL,
            'digest: {every: 15m, by: data.computer, max: 20, line: "{{ data.title }}"}, rate: 20/h, per: data.room, '
            'quiet_hours: {from: "22:00", to: "7:30", tz: Europe/Berlin}',
            GatherSettings(
                digest=Digest(900.0, "data.computer"),
                quiet_hours=QuietHours(22 * 60, 7 * 60 + 30, "Europe/Berlin"),
                is_rated=True,
                per="data.room",
                line="{{ data.title }}",
                max_events=20,
            ),
        ),
        (
            HOOK,
            "coalesce: {by: data.number, wait: 10s, keep: all}",
            GatherSettings(coalesce=Coalesce("data.number", 10.0, 300.0, "all")),
        ),
        (MAIL, "rate: 20/h", GatherSettings(is_rated=True)),
    ],
)
def test_deliveries_wait_for_others_as_options_say(kind: str, options: str, gathering: GatherSettings | None) -> None:
    assert compiled(options, kind).gather == gathering


def test_a_digest_is_tried_again_at_least_each_hour_over_the_same_time_as_any_delivery() -> None:
    waits, others = compiled("digest: {}").retry_seconds, compiled("timeout: 20s").retry_seconds
    assert max(waits) == 3_600
    assert abs(sum(waits) - sum(others)) < 3_600
    assert compiled("digest: {}, retry: [5s]").retry_seconds == (5.0,)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ("otherwise: pagr", "there is no destination 'pagr'; did you mean 'pager'?"),
        ("otherwise: 'pager, office'", "there is no destination 'pager, office'; write a list: [pager, office]"),
        ("subject: x", "subject is a setting of `email`: write it in there, as `email: {subject: …}`"),
        ("steps: []", "steps is a key of a route: write it in the route that leads here"),
        ("quiet_hours: {from: '22:00', to: '7:00', zone: UTC}", "zone: there is no such key; did you mean 'tz'?"),
        ("schedule: daily", "there is no such key 'schedule'; there are: breaker"),
        ("retry: 5", "retry: must be a list of the waits between attempts, such as [1m, 10m, 2h]; got 5"),
        ("digest: daily", "digest: must be a mapping with keys such as every, by, max, line; got 'daily'"),
        ("otherwise: office", "must not lead back to 'office'"),
        ("success_when: 'body.ok ='", "must be a JMESPath expression over the response"),
        ("success_when: body.ok", "must be a condition over an HTTP response, which 'email' does not get"),
        ("breaker: {pause: 2h}", "pause: must not exceed max_pause"),
        ("rate: 10", "must be a number of deliveries from 1 to 10000 and the time for them, such as 10/s"),
        ("per: data.customer", "per: needs `rate` or `in_flight`; got neither"),
        ("rate: 1/s, per: data.", "must be a JMESPath expression over the event; got 'data.': column 6"),
        ("coalesce: {by: data.n}, digest: {}", "digest: must not be combined with `coalesce`; got both"),
        ('digest: {line: "{{ data.x"}', "digest.line"),
        ("digest: {every: 1h}, expires_after: 30m", "must be longer than digest.every"),
        ("quiet_hours: {from: '22:00', to: '22:00'}", "to: must be another time than from; got '22:00' for both"),
        ("quiet_hours: {from: '22:00', to: '7:00', tz: Berlin}", "must be the name of a time zone"),
        ("quiet_hours: {from: '25:00', to: '7:00'}", "must be a time of day from 00:00 to 23:59"),
        ("coalesce: {by: data.n, wait: 10m}", "max_wait: must not be less than wait; got wait 10 min"),
    ],
)
def test_a_fault_names_the_option_and_the_rule(options: str, rule: str) -> None:
    with pytest.raises(ConfigFaults) as caught:
        compiled(options)
    assert "hookchain.yaml:4: destination 'office'" in str(caught.value)
    assert rule in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "options", "rule"),
    [
        (HOOK, "digest: {}", "needs a kind that can deliver a digest, such as `email` or `slack`"),
        (HOOK, "quiet_hours: {from: '22:00', to: '7:00'}", "such as `email` or `slack`; got `webhook`. Remove it$"),
        (TEMPLATED, "digest: {}", "recipients that each event names; got a template in `to`"),
    ],
)
def test_a_kind_or_recipients_that_no_digest_can_have_are_a_fault(kind: str, options: str, rule: str) -> None:
    with pytest.raises(ConfigFaults, match=rule):
        compiled(options, kind)


def test_destinations_that_lead_back_to_each_other_are_a_fault_of_each() -> None:
    text = """\
sources: {form: {auth: none}}
destinations:
  a: {email: {to: a@example.com}, otherwise: b}
  b: {email: {to: a@example.com}, otherwise: c}
  c: {email: {to: a@example.com}, otherwise: b}
"""
    faults = faults_of_text(text)
    assert "b → c → b" in faults
    assert "c → b → c" in faults
    assert "destination 'a'" not in faults


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        (
            "slack: {secret: s-l, channel: my channel}",
            "channel: must have the form of 'C0123ABCD' or '#builds'",
        ),
        ("object: {bucket: files, key: x}", "bucket: must have the form of 's3://my-bucket' or 'gs://my-bucket'"),
        ("ntfy: {topic: my topic}", "topic: must have the form of 'builds'; got 'my topic'"),
    ],
)
def test_a_setting_of_another_form_is_shown_an_example(kind: str, rule: str) -> None:
    assert rule in faults_of_text(f"destinations:\n  office: {{{kind}}}\n")
