"""`alerts` and `silence`, as the configuration's checks and the slices have them."""

import pytest

from deploy.config.config_file import ConfigFaults
from deploy.topology.topology import find_topology
from functions.notify.alerts.publisher import AlertSettings, Silence, read_alert_settings
from functions.notify.digests.settings import Digest, GatherSettings, QuietHours
from functions.notify.registry import read_destinations
from functions.notify.waiting.schedule import DEFAULT_RETRY_SECONDS, DIGEST_RETRY_SECONDS
from functions.transform.seen import read_intervals
from shared.jsontext import JsonObject
from tests.fakes.configurations import compile_text

MAIL = "email: {to: a@example.com}"
HOOK = "webhook: {url: https://crm.example.com/in}"


def slices(
    alerts: str = "", silence: str = "", ops: str = f"{{{MAIL}, otherwise: pager}}", pager: str = f"{{{HOOK}}}"
) -> dict[str, JsonObject]:
    text = f"""\
sources:
  shop: {{auth: none{", silence: " + silence if silence else ""}}}
  other: {{auth: none}}
routes: [{{name: keep, to: crm}}]
destinations:
  crm: {{{HOOK}}}
  ops: {ops}
  pager: {pager}
people: {{anna: {{email: anna@example.com}}}}
{f"alerts: {alerts}" if alerts else ""}
"""
    return compile_text(text)


def faults(alerts: str = "", silence: str = "", **destinations: str) -> str:
    with pytest.raises(ConfigFaults) as caught:
        slices(alerts, silence, **destinations)
    return str(caught.value)


def settings(found: dict[str, JsonObject]) -> AlertSettings | None:
    return read_alert_settings(found["notify"], read_destinations(found["notify"]))


def test_who_is_told_is_in_the_slice_with_where_an_alert_may_end() -> None:
    found = slices("{to: ops}", "{after: 1h}")
    assert settings(found) == AlertSettings(
        ("ops",), {"shop": Silence(3_600.0, ("ops",), 60.0)}, {"ops": frozenset({"ops", "pager"})}
    )
    assert read_intervals(found["transform"]) == {"shop": 60.0}


def test_silence_may_name_others() -> None:
    found = settings(slices(silence="{after: 5m, to: [pager, ops]}"))
    assert found == AlertSettings((), {"shop": Silence(300.0, ("pager", "ops"), 30.0)}, {})


def test_each_destination_that_alerts_may_come_to_gathers_them_and_no_other_does() -> None:
    quiet = '{email: {to: a@example.com}, otherwise: pager, quiet_hours: {from: "22:00", to: "7:00"}}'
    found = read_destinations(slices("{to: ops, every: 10m}", ops=quiet)["notify"])
    assert found["crm"].alerts is None
    assert [each.gather for name in ("ops", "pager") if (each := found[name].alerts)] == [
        GatherSettings(digest=Digest(600.0, None), quiet_hours=QuietHours(22 * 60, 7 * 60, None), is_alerts=True),
        GatherSettings(digest=Digest(600.0, None), is_alerts=True, keeps_all=True),
    ]


def test_alerts_are_tried_again_like_digests_unless_the_destination_has_a_schedule_of_its_own() -> None:
    ops = read_destinations(slices("{to: ops}")["notify"])["ops"]
    assert ops.retry_seconds == DEFAULT_RETRY_SECONDS
    assert ops.alerts is not None
    assert ops.alerts.retry_seconds == DIGEST_RETRY_SECONDS
    own = read_destinations(slices("{to: ops}", ops=f"{{{MAIL}, retry: [5s]}}")["notify"])["ops"].alerts
    assert own is not None
    assert own.retry_seconds == (5.0,)


def test_where_nobody_is_told_the_slices_have_nothing_and_transform_no_further_table() -> None:
    found = slices()
    assert "alerts" not in found["notify"]
    assert "seen" not in found["transform"]
    [_, transform, _] = find_topology(found, {}).functions
    assert transform.function.stores == ("journal", "owners")
    [_, transform, _] = find_topology(slices("{to: ops}", "{after: 1h}"), {}).functions
    assert transform.function.stores == ("journal", "owners", "grants")


@pytest.mark.parametrize(
    ("alerts", "silence", "fault"),
    [
        ("{to: opps}", "", "alerts.to: there is no destination 'opps'; did you mean 'ops'?"),
        ("{to: ops}", "{after: 59s}", "source 'shop': silence.after: must be greater than or equal to 60"),
        ("", "{after: 1h}", "source 'shop': silence: must say who gets the alert, because the file has no `alerts`"),
    ],
)
def test_faults(alerts: str, silence: str, fault: str) -> None:
    assert fault in faults(alerts, silence)


@pytest.mark.parametrize(
    ("pager", "fault"),
    [
        ("{email: {to: actor}}", "destination 'pager': email.to: gets alerts, and must not take its recipients from"),
        ('{email: {to: "{{ data.mail }}", allow_recipients: [example.com]}}', "email.to: gets alerts"),
        (f"{{{MAIL}, expires_after: 5m}}", "expires_after: must be longer than the 5 min for which alerts wait"),
    ],
)
def test_a_destination_that_cannot_get_alerts_is_a_fault_also_where_otherwise_names_it(pager: str, fault: str) -> None:
    assert fault in faults("{to: ops}", pager=pager)
