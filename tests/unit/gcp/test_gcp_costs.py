"""What a month costs follows how Cloud Run bills, and the plan of the configuration."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from deploy.gcp.costs import default_plan, read_usage, rows
from deploy.gcp.resource import Command, Resource
from deploy.topology.estimate import MONTH_SECONDS, Traffic
from shared.retention import Retention


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
