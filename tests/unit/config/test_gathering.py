"""The options by which a destination gathers deliveries, as the configuration's checks and its slice have them."""

import pytest

from functions.notify.digests.settings import Coalesce, Digest, GatherSettings, QuietHours
from functions.notify.read_destinations import read_destinations
from functions.notify.registry import Configured
from tests.unit.config.test_destination_options import compiled, faults, faults_of, slice_of

HOOK = "webhook: {url: https://crm.example.com/in}"
SLACK = 'slack: {secret: slack-webhook, text: "{{ data.title }}\\n{{ data.text }}"}'


def made(destination: str) -> Configured:
    return read_destinations(slice_of(f"{{{destination}}}"))["office"]


def gathers(destination: str) -> GatherSettings | None:
    return made(destination).gather


def test_they_are_compiled_into_the_slice() -> None:
    found = compiled(
        'digest: {every: 15m, by: data.computer, max: 20, line: "{{ data.title }}"}, '
        'quiet_hours: {from: "22:00", to: "7:30", tz: Europe/Berlin}, rate: 20/h, per: data.room'
    ).gather
    assert found == GatherSettings(
        digest=Digest(900.0, "data.computer"),
        quiet_hours=QuietHours(22 * 60, 7 * 60 + 30, "Europe/Berlin"),
        is_rated=True,
        per="data.room",
        line="{{ data.title }}",
        max_events=20,
    )


def test_coalesce_stands_at_any_kind() -> None:
    found = gathers(f"{HOOK}, coalesce: {{by: data.number, wait: 10s, keep: all}}")
    assert found == GatherSettings(coalesce=Coalesce("data.number", 10.0, 300.0, "all"))


def test_what_is_over_the_rate_of_a_webhook_queues_and_of_mail_is_gathered() -> None:
    assert gathers(f"{HOOK}, rate: 20/h") is None
    assert gathers("email: {to: a@example.com}, rate: 20/h") == GatherSettings(is_rated=True)
    named = 'email: {to: "{{ data.mail }}", allow_recipients: [example.com]}'
    assert gathers(f"{named}, rate: 20/h") is None


def test_a_destination_does_not_gather_unless_it_says_so() -> None:
    assert compiled("retry: [5s]").gather is None


@pytest.mark.parametrize(
    ("destination", "line"),
    [
        (f"{SLACK}, digest: {{}}", "{{ data.title }}"),
        ('email: {to: a@example.com, subject: "New: {{ data.name }}"}, digest: {}', "New: {{ data.name }}"),
        ("email: {to: a@example.com}, digest: {}", None),
        ('ntfy: {topic: builds, text: "{% if data.a %}\\nx{% endif %}"}, digest: {}', None),
    ],
)
def test_an_events_line_is_the_kinds_own_first_line_where_nothing_else_is_written(
    destination: str, line: str | None
) -> None:
    found = gathers(destination)
    assert found is not None
    assert found.line == line


def test_a_digest_is_tried_again_at_least_each_hour_over_the_same_time_as_any_delivery() -> None:
    waits, others = compiled("digest: {}").retry_seconds, compiled("timeout: 20s").retry_seconds
    assert max(waits) == 3_600
    assert abs(sum(waits) - sum(others)) < 3_600
    assert compiled("digest: {}, retry: [5s]").retry_seconds == (5.0,)


def test_a_time_without_quotes_is_read_as_it_is_written() -> None:
    found = compiled("quiet_hours: {from: 22:00, to: 07:00}").gather
    assert found is not None
    assert found.quiet_hours == QuietHours(22 * 60, 7 * 60, None)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ("coalesce: {by: data.n}, digest: {}", "digest: must not be combined with `coalesce`; got both"),
        ("coalesce: {by: data.n, wait: 10m}", "max_wait: must not be less than wait; got wait 10 min"),
        ("coalesce: {by: data.n, keep: most}", "must be 'last', 'first' or 'all'"),
        ("coalesce: {}", "coalesce.by"),
        ("coalesce: {by: 'data.'}", "must be a JMESPath expression over the event; got 'data.'"),
        ("digest: {by: dat.n}", "there is no 'dat'"),
        ("digest: {evry: 5m}", "did you mean 'every'?"),
        ("digest: {max: 0}", "digest.max"),
        ('digest: {line: "{{ data.x"}', "digest.line"),
        ("quiet_hours: {from: '22:00', to: '22:00'}", "to: must be another time than from; got '22:00' for both"),
        ("quiet_hours: {from: '25:00', to: '7:00'}", "must be a time of day from 00:00 to 23:59"),
        ("quiet_hours: {from: '22:00', to: '7:00', tz: Berlin}", "must be the name of a time zone"),
        ("quiet_hours: {from: '22:00'}", "quiet_hours.to"),
        ("digest: {every: 1h}, expires_after: 30m", "must be longer than digest.every"),
    ],
)
def test_a_fault_names_the_option_and_the_rule(options: str, rule: str) -> None:
    text = faults(options)
    assert "hookchain.yaml:4: destination 'office'" in text
    assert rule in text
    assert text.count("got 'Berlin'") <= 1


@pytest.mark.parametrize(
    ("destination", "rule"),
    [
        (f"{HOOK}, digest: {{}}", "needs a kind that can deliver a digest, such as `email` or `slack`"),
        (f"{HOOK}, quiet_hours: {{from: '22:00', to: '7:00'}}", "got `webhook`. Remove it, or use `coalesce`"),
        (
            'email: {to: "{{ data.mail }}", allow_recipients: [example.com]}, digest: {}',
            "must not be combined with recipients that each event names; got a template in `to`",
        ),
    ],
)
def test_a_fault_says_which_kinds_and_recipients_no_digest_can_have(destination: str, rule: str) -> None:
    text = faults_of(f"{{{destination}}}")
    assert rule in text
