"""Explain says when a delivery would go out, and why not now."""

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.explain.deliveries import Situation, preview_delivery
from functions.notify.http_kind import example_delivery
from shared.delivery import Delivery
from shared.jsontext import Json
from shared.ledger import DestinationState
from shared.times import unix_seconds

CONFIG = """
sources: {shop: {auth: none}}
routes: [{name: orders, to: [mail]}]
people:
  ann: {email: ann@example.com, timezone: Europe/Berlin}
  bob: {email: bob@example.com}
destinations:
  mail:
    email: {to: actor, from: bot@example.com}
    %s
"""
NOON = "2026-11-27T12:05:00Z"
NIGHT = "2026-11-27T22:10:00Z"  # ten past eleven in Berlin
QUIET = 'quiet_hours: {from: "22:00", to: "07:00"}'
DAILY = "digest: {every: 15m, by: data.repository}"


def text(
    options: str,
    at: str,
    actor: str = "ann",
    data: Json = None,
    state: DestinationState | None = None,
    received: str = "",
) -> str:
    """Return what follows the mail's subject."""
    notify = compile_config(parse_config(CONFIG % options, "hookchain.yaml", Path()))["notify"]
    event = replace(example_delivery(data).event, actor=actor, receivedat=received or at)
    situation = Situation(unix_seconds(at), {"mail": state} if state else {})
    found = preview_delivery(Delivery(event, "orders", "mail"), notify, {}, situation).check
    assert found.state == "passed"
    return found.text.partition(": order.created from shop")[2].removeprefix("; ")


@pytest.mark.parametrize(
    ("options", "at", "expected"),
    [
        ("retry: []", NOON, ""),
        (QUIET, NOON, ""),
        (DAILY, NOON, "not now: it waits, with the other events for ann, for the digest at 13:15 (Europe/Berlin)"),
        (
            f"{DAILY}\n    {QUIET}",
            NIGHT,
            "not now: it waits, with the other events for ann, until the quiet hours, 22:00 to 07:00, end at "
            "07:00 on 28 Nov (Europe/Berlin)",
        ),
        (
            QUIET.replace("}", ", tz: America/New_York}"),
            "2026-11-27T11:59:00Z",
            "not now: it waits, with the other events for ann, until the quiet hours, 22:00 to 07:00, end at "
            "07:00 (America/New_York)",
        ),
        ("rate: 20/h", NOON, "at most 20 in 1 h go out; what is over that waits for a digest"),
        ("digest: {every: 1d}", NOON, "not now: it waits, with the other events for ann, for the digest at "
         "01:00 on 28 Nov (Europe/Berlin)"),
    ],
)  # fmt: skip
def test_the_time_and_the_reason_are_in_the_recipients_time_zone(options: str, at: str, expected: str) -> None:
    assert text(options, at) == expected


def test_a_person_without_a_time_zone_gets_the_night_of_utc() -> None:
    found = text(QUIET, "2026-11-27T06:30:30Z", "bob")
    assert found.endswith("until the quiet hours, 22:00 to 07:00, end at 07:00 (UTC)")


def test_a_key_is_named_and_an_event_without_one_is_not_coalesced() -> None:
    burst = "coalesce: {by: data.number, wait: 30s}"
    assert text(burst, NOON, data={"number": 42}) == (
        "not now: it waits, with the further events for ann and with the key '42', until none came for 30 s, for 5 min "
        "at most; if none comes, until 13:05:30 (Europe/Berlin)"
    )
    assert text(burst, NOON, data={}) == "now, by itself: it has no key at `data.number`"
    assert "for ann and with the key 'orchard', for the digest" in text(DAILY, NOON, data={"repository": "orchard"})


def test_what_expires_before_its_digest_and_what_is_large_go_out_by_themselves() -> None:
    assert (
        text(f"{DAILY}\n    expires_after: 16m", "2026-11-27T12:01:00Z", received="2026-11-27T11:50:00Z")
        == "now, by itself: it would expire before it is gathered"
    )
    assert text(DAILY, NOON, data={"text": "x" * 210_000}).startswith("now, by itself: with over 210 KB")


def test_at_night_nothing_goes_out_by_itself() -> None:
    night = "2026-11-27T22:30:00Z"
    assert text(QUIET, night, data={"text": "x" * 210_000}).startswith(
        "not now: it waits until the quiet hours, 22:00 to 07:00, end at 07:00 on 28 Nov (Europe/Berlin), and goes out "
        "by itself: with over 210 KB"
    )
    assert (
        text(f"{QUIET}\n    expires_after: 1h", night, received=night) == "never: it expires before the quiet hours end"
    )


def test_a_destination_that_takes_nothing_says_so() -> None:
    disabled = DestinationState(disabled_reason="paused by an operator")
    assert text("retry: []", NOON, state=disabled) == "held here until `hookchain resume mail`: paused by an operator"
    paused = DestinationState(paused_until=unix_seconds(NOON) + 60)
    assert text("retry: []", NOON, state=paused) == "the destination is paused here until 13:06 (Europe/Berlin)"
    assert text("retry: []", NOON, state=DestinationState(paused_until=1.0)) == ""


def test_a_preview_says_that_a_digest_is_another_mail() -> None:
    notify = compile_config(parse_config(CONFIG % DAILY, "hookchain.yaml", Path()))["notify"]
    event = replace(example_delivery({}).event, actor="ann")
    found = preview_delivery(Delivery(event, "orders", "mail"), notify, {}, Situation(unix_seconds(NOON)))
    assert found.lines[1] == "The mail to 'mail' by route 'orders', if it comes alone; a digest lists it by a line"
