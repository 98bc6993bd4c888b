"""What a month costs follows how Cloud Run bills, and the plan of the configuration."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.gcp.costs import (
    START_SECONDS,
    Stream,
    default_plan,
    instance_seconds,
    read_usage,
    resources,
    rows,
    sweeps_a_month,
)
from deploy.gcp.resource import Command, Resource
from deploy.topology.estimate import MONTH_SECONDS, Row, Traffic, signed_share
from functions.notify.registry import CACHE_SECONDS
from shared.cloud.shards import SHARDS
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


def test_an_instance_is_full_when_its_processor_is() -> None:
    assert instance_seconds([Stream(MONTH_SECONDS * 6, 0.5, 0.5)], SIZE) == pytest.approx(5 * MONTH_SECONDS)


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


def test_a_destination_costs_a_count_and_a_distribution_for_each_minute_in_which_it_gets_something() -> None:
    plan = default_plan()
    idle, one, many = (
        amounts(plan, Traffic(events, destinations=count))["metric_mib"]
        for events, count in ((0, 1), (10_000_000, 1), (10_000_000, 20))
    )
    assert idle == 8 * sweeps_a_month(plan), "the count of sweeps"
    assert [one - idle, many - idle] == pytest.approx([88 * 43_200, 20 * 88 * 43_200], rel=0.01)


def test_what_is_stored_follows_the_retention() -> None:
    day = 86_400.0
    kept = Retention(events_seconds=60 * day, bodies_seconds=60 * day)
    found, before = (amounts(default_plan(), Traffic(1000), each)["database_gib_month"] for each in (kept, None))
    usage = read_usage()
    assert found - before == pytest.approx(1000 * usage["bytes_events"])


def test_bodies_that_go_before_their_events_and_signed_bytes_that_are_remembered_cost_a_write_each() -> None:
    names = "million_document_writes", "million_document_deletes"
    plain, sooner, signed = (
        [amounts(default_plan(), Traffic(1_000, signed_share=share), kept)[name] for name in names]
        for share, kept in ((0.0, None), (0.0, Retention(bodies_seconds=86_400.0)), (0.5, None))
    )
    assert [after - before for before, after in zip(plain, sooner, strict=True)] == [1_000, 1_000]
    assert [after - before for before, after in zip(plain, signed, strict=True)] == [500, 500]


def test_the_share_of_sources_whose_signed_bytes_are_remembered_is_read_from_the_configuration() -> None:
    text = """
sources:
  plain: {auth: {scheme: bearer, secret: a-key}}
  github: {provider: github, secret: b-key}
  by-id: {provider: github, secret: c-key, dedupe: delivery_id}
  signed: {auth: {scheme: hmac, header: X-Signature, secret: d-key}}
routes: [{name: all, from: all, to: inbox}]
destinations: {inbox: {email: {to: [a@example.com]}}}
"""
    slices = compile_config(parse_config(text, "hookchain.yaml", Path()))
    assert signed_share(slices["receive"]) == 0.5


def test_reads_are_those_of_the_sweep_and_of_the_destinations_state() -> None:
    sweeps = sweeps_a_month(default_plan())
    for events, states in ((0, 0), (1_000, 1_000), (100_000_000, MONTH_SECONDS / CACHE_SECONDS)):
        assert amounts(default_plan(), Traffic(events))["million_document_reads"] == SHARDS * sweeps + states


def test_a_configuration_of_more_secrets_and_larger_bodies_is_another_plan() -> None:
    text = """
sources:
  a: {auth: {scheme: bearer, secret: a-key}, max_body_bytes: 10485760}
  b: {auth: {scheme: bearer, secret: b-key}}
routes: [{name: all, from: all, to: inbox}]
destinations: {inbox: {email: {to: [a@example.com]}}}
"""
    plan = resources(compile_config(parse_config(text, "hookchain.yaml", Path())), {})
    found: list[Row] = rows(plan, read_usage(), Traffic(50_000_000), Retention())
    own = {row.price: row.amount for row in found}
    default = amounts(default_plan(), Traffic(50_000_000))
    assert own["secret_version_month"] == default["secret_version_month"] + 1
    assert own["cpu_second"] > default["cpu_second"], "fewer requests at once on an instance"


def test_subscribers_cost_what_their_messages_and_deliveries_write_and_nothing_without_them() -> None:
    plan, million = default_plan(), Traffic(1_000_000)
    found = {row.what: row.amount for row in rows(plan, read_usage(), replace(million, endpoints=3), Retention())}
    without = {row.what: row.amount for row in rows(plan, read_usage(), million, Retention())}
    assert found.keys() - without.keys() == {each for each in found if each.startswith("subscribers, ")}
    assert found["subscribers, writes"] == 1e6 * (2 + 3 * 2)
    assert found["subscribers, reads at most"] == 1e6 * (1 + 3 + 3 * 2)
    assert found["CPU while a request is open"] > without["CPU while a request is open"]
