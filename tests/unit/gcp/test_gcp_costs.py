"""What a month costs follows how Cloud Run bills, and the plan of the configuration."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from deploy.gcp.costs import (
    START_SECONDS,
    Stream,
    default_plan,
    instance_seconds,
    read_usage,
    rows,
    sweeps_a_month,
)
from deploy.gcp.resource import Command, Resource
from deploy.topology.estimate import MONTH_SECONDS, Traffic
from shared.retention import Retention

SIZE: Final = {"cpu": "1", "memory": "512Mi", "concurrency": "40"}


def amounts(plan: Sequence[Resource], traffic: Traffic, kept: Retention | None = None) -> dict[str, float]:
    return {row.price: row.amount for row in rows(plan, read_usage(), traffic, kept or Retention())}


def with_flag(plan: Sequence[Resource], key: str, flag: str) -> list[Resource]:
    """The plan with the flag added to what creates the resource."""
    return [
        replace(each, create=(Command((*each.create[0].arguments, flag)), *each.create[1:]))
        if each.key == key
        else each
        for each in plan
    ]


def test_a_request_is_billed_while_it_is_open_and_not_for_its_cpu_alone() -> None:
    waiting, working = Stream(1, 2.0, 0.001), Stream(1, 2.0, 2.0)
    assert instance_seconds([waiting], SIZE) == instance_seconds([working], SIZE)
    quick, slow = (amounts(default_plan(), Traffic(10_000, seconds))["cpu_second"] for seconds in (0.1, 5.1))
    assert slow - quick == pytest.approx(10_000 * 5.0, rel=0.02), "a slow destination holds its request open"


def test_a_request_that_comes_alone_is_rounded_up_and_pays_for_the_start_of_its_instance() -> None:
    assert instance_seconds([Stream(1, 0.01)], SIZE) == pytest.approx(0.1 + START_SECONDS, rel=0.01)
    assert instance_seconds([Stream(1, 0.11)], SIZE) == pytest.approx(0.2 + START_SECONDS, rel=0.01)


def test_requests_that_overlap_on_one_instance_are_billed_once() -> None:
    busy = Stream(MONTH_SECONDS * 10, 1.0)
    assert instance_seconds([busy], SIZE) == pytest.approx(MONTH_SECONDS, rel=0.001), "ten at once, one instance"
    assert instance_seconds([busy], {**SIZE, "concurrency": "1"}) > 10 * MONTH_SECONDS, "ten instances and more"


def test_sparse_traffic_costs_the_sweep_and_starts_and_steady_traffic_the_events() -> None:
    plan = default_plan()
    nothing, sparse, steady = (amounts(plan, Traffic(events))["cpu_second"] for events in (0, 1_000, 1_000_000))
    assert nothing == pytest.approx(sweeps_a_month(plan) * 0.1, rel=0.01)
    assert sparse - nothing > 1_000 * START_SECONDS
    assert steady < 1_000 * sparse


def test_amounts_follow_the_plan_and_no_second_list() -> None:
    plan, traffic = default_plan(), Traffic(1_000_000)
    before = amounts(plan, traffic)
    services = [each.key for each in plan if each.kind == "service"]
    larger = plan
    for key in services:
        larger = tuple(with_flag(larger, key, "--memory=1Gi"))
    assert amounts(larger, traffic)["memory_gib_second"] == pytest.approx(2 * before["memory_gib_second"])
    rarer = with_flag(plan, "job hookchain-sweep", "--schedule=*/5 * * * *")
    assert before["million_requests"] - amounts(rarer, traffic)["million_requests"] == pytest.approx(43_200 * 4 / 5)
    warm = amounts(with_flag(plan, services[0], "--min-instances=2"), Traffic(0))
    assert warm["idle_cpu_second"] == pytest.approx(2 * MONTH_SECONDS, rel=0.01)
    assert before["secret_version_month"] == sum(each.kind == "secret" for each in plan)


def test_what_is_stored_follows_the_retention() -> None:
    day = 86_400.0
    kept = Retention(events_seconds=60 * day, bodies_seconds=60 * day)
    found, before = (amounts(default_plan(), Traffic(1000), each)["database_gib_month"] for each in (kept, None))
    usage = read_usage()
    assert found - before == pytest.approx(1000 * usage["bytes_events"])


def test_subscribers_cost_what_their_messages_and_deliveries_write_and_nothing_without_them() -> None:
    plan, million = default_plan(), Traffic(1_000_000)
    found = {row.what: row.amount for row in rows(plan, read_usage(), replace(million, endpoints=3), Retention())}
    without = {row.what: row.amount for row in rows(plan, read_usage(), million, Retention())}
    assert found.keys() - without.keys() == {each for each in found if each.startswith("subscribers, ")}
    assert found["subscribers, writes"] == 1e6 * (2 + 3 * 2)
    assert found["subscribers, reads at most"] == 1e6 * (1 + 3 + 3 * 2)
    assert found["CPU while a request is open"] > without["CPU while a request is open"]
