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
