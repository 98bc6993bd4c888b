"""The single checks of `hookchain doctor`, from what they are given; and how they are made side by side."""

import threading
from pathlib import Path
from typing import Final

import pytest

from deploy.cli.doctor import document, is_well, lines
from deploy.cloud_access.gcp_names import Target
from deploy.doctor.checks import checkup
from deploy.doctor.machine import clock_finding, disk, python
from deploy.doctor.senders import Verified, sender_finding
from deploy.gcp.organization_policies import CONSTRAINTS, policies_finding
from deploy.terminal.finding import Check, Finding, ok, problem, unknown
from deploy.terminal.output import Screen
from deploy.terminal.parallel import run_in_parallel
from shared.jsontext import JsonObject


def test_a_python_that_is_too_old_and_a_disk_that_is_there(tmp_path: Path) -> None:
    assert python((3, 10)).verdict == "problem"
    assert disk(tmp_path / "not" / "yet").verdict == "ok"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("date", "verdict"),
    [
        ("Thu, 01 Jan 1970 00:16:40 GMT", "ok"),
        ("Thu, 01 Jan 1970 00:17:40 GMT", "ok"),
        ("Thu, 01 Jan 1970 00:17:41 GMT", "problem"),
        ("Thu, 01 Jan 1970 00:15:39 GMT", "problem"),
        ("yesterday", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_clock_that_is_a_minute_off_is_a_problem(date: str | None, verdict: str) -> None:
    assert clock_finding(date, 1000.0).verdict == verdict


# Policies and senders, as data

TARGET: Final = Target("acme-hooks")


def policy(constraint: str, *rules: JsonObject) -> Finding:
    return policies_finding(TARGET, {**dict.fromkeys(CONSTRAINTS, ()), constraint: rules})


def test_domain_restricted_sharing_does_not_stop_a_function_that_asks_for_no_invoker() -> None:
    rules: JsonObject = {"values": {"allowedValues": ["C0abc"]}}
    found = policy("iam.allowedPolicyMemberDomains", rules)
    assert (found.verdict, "domain-restricted" in found.found) == ("ok", True)


@pytest.mark.parametrize(
    ("constraint", "rule", "verdict"),
    [
        ("run.managed.requireInvokerIam", {"enforce": True}, "problem"),
        ("run.managed.requireInvokerIam", {"enforce": True, "condition": {"expression": "resource.x"}}, "ok"),
        ("run.managed.requireInvokerIam", {"enforce": False}, "ok"),
        ("iam.disableServiceAccountCreation", {"enforce": True}, "problem"),
        ("iam.managed.disableServiceAccountCreation", {"enforce": True}, "problem"),
        ("run.allowedIngress", {"values": {"allowedValues": ["internal"]}}, "problem"),
        ("run.allowedIngress", {"values": {"allowedValues": ["is:all"]}}, "ok"),
        ("run.allowedIngress", {"denyAll": True}, "problem"),
        ("gcp.resourceLocations", {"values": {"allowedValues": ["in:us-locations"]}}, "unknown"),
        ("gcp.resourceLocations", {"values": {"allowedValues": ["in:europe-west1-locations"]}}, "ok"),
        ("gcp.resourceLocations", {"values": {"allowedValues": ["us-east1"]}}, "problem"),
        ("gcp.resourceLocations", {"values": {"deniedValues": ["europe-west1"]}}, "problem"),
        ("gcp.resourceLocations", {"allowAll": True}, "ok"),
    ],
)
def test_a_policy_is_read_as_it_is_meant(constraint: str, rule: JsonObject, verdict: str) -> None:
    assert policy(constraint, rule).verdict == verdict


@pytest.mark.parametrize(
    ("addresses", "domains", "verdict"),
    [
        (frozenset({"hooks@example.com"}), frozenset(), "ok"),
        (frozenset(), frozenset({"example.com"}), "ok"),
        (frozenset(), frozenset({"ample.com"}), "problem"),
        (None, frozenset({"example.com"}), "ok"),
        (None, frozenset(), "unknown"),
        (frozenset({"other@example.com"}), frozenset(), "problem"),
    ],
)
def test_an_address_or_its_domain_is_verified(
    addresses: frozenset[str] | None, domains: frozenset[str] | None, verdict: str
) -> None:
    assert sender_finding(["Hooks@Example.com"], Verified(addresses, domains)).verdict == verdict


# Time, and how it is told


def test_a_check_that_hangs_is_not_waited_for_and_hides_no_other() -> None:
    released = threading.Event()

    def hang() -> Finding:
        released.wait(30)
        ended.append("slow")
        return ok("late")

    def broken() -> Finding:
        raise ZeroDivisionError

    ended: list[str] = []
    checks = [Check("slow", hang), Check("broken", broken), Check("good", lambda: ok("fine"))]
    found = dict(checkup(checks, lambda _: None, longest_seconds=1.0))
    assert not ended
    released.set()
    assert {name: each.verdict for name, each in found.items()} == {
        "slow": "unknown",
        "broken": "unknown",
        "good": "ok",
    }
    assert "ZeroDivisionError at test_doctor_checks.py" in found["broken"].found


@pytest.mark.parametrize(
    ("found", "is_good"),
    [
        ([("clock", ok("")), ("project", unknown("no answer")), ("signed in", unknown("no answer"))], False),
        ([("credentials", unknown("no answer within 45 s")), ("configuration", ok(""))], False),
        ([("credentials", ok("arn")), ("stack", unknown("is being changed"))], True),
        ([("signed in", ok("ann")), ("billing", problem("off", "link an account"))], False),
    ],
)
def test_a_cloud_that_could_not_be_asked_is_not_well(found: list[tuple[str, Finding]], is_good: bool) -> None:
    assert is_well(found) == is_good
    has_problem = any(each.verdict == "problem" for _, each in found)
    assert ("the cloud could not be asked" in lines(found, Screen())[-1]) == (not is_good and not has_problem)
    assert document(found)["ok"] == is_good


def test_people_get_a_line_a_check_with_colours_on_terminals_alone() -> None:
    found = [("billing", problem("off", "link an account")), ("clock", unknown("no answer")), ("gcloud", ok("1"))]
    plain = "\n".join(lines(found, Screen()))
    assert "✗ billing  off\n           → link an account\n? clock    no answer\n✓ gcloud   1" in plain
    assert "1 ok, 1 problem, 1 not checked" in plain
    assert "\x1b[31m✗" in lines(found, Screen(80, colours=True))[0]
    assert document(found)["ok"] is False


def test_things_done_side_by_side_answer_in_order_and_raise_the_first_fault() -> None:
    assert run_in_parallel(lambda number: number * 2, [3, 1, 2]) == [6, 2, 4]
    with pytest.raises(ZeroDivisionError):
        run_in_parallel(lambda number: 1 // number, [1, 0, 2])
