"""What a month on AWS costs follows how AWS bills, the configuration, and what one event uses."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.aws.costs import (
    COSTS,
    ENDPOINT_DELIVERY_BYTES,
    ENDPOINT_DELIVERY_UNITS,
    MESSAGE_BYTES,
    MESSAGE_UNITS,
    PRICES_FILE,
    START_SECONDS,
    alarm_metrics,
    billed,
    price_rows,
    read_usage,
    rows,
    sweeps_a_month,
)
from deploy.cli.main import main
from deploy.config.compiler import compile_config, compile_file
from deploy.config.config_file import parse_config
from deploy.topology.estimate import WRITES_A_MESSAGE, Traffic, read_prices
from deploy.topology.topology import Topology, find_topology
from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.tables import TABLES
from shared.delivery import Delivery, delivery_message
from shared.event import to_cloudevent
from shared.journal import EventEntry
from shared.jsontext import Json, to_json
from shared.ledger import Claimed
from shared.retention import Retention
from tests.aws.operator import Stack
from tests.contract.claims import EVENT, LEASE, T, done
from tests.fakes.fan_out import PAID, FakeWorld

CONFIG = """
sources:
  a: {auth: {scheme: bearer, secret: a-key}}
  b: {auth: {scheme: bearer, secret: b-key}}
routes: [{name: all, from: all, to: inbox}]
destinations: {inbox: {email: {to: [a@example.com]}}}
"""


def default_topology() -> Topology:
    environ = {"EMAIL_ADDRESS": "you@example.com"}
    return find_topology(compile_file(None, environ), environ)


def amounts(topology: Topology, traffic: Traffic, kept: Retention | None = None) -> dict[str, float]:
    return {row.what: row.amount for row in rows(topology, read_usage(), traffic, kept or Retention())}


def test_a_call_is_billed_to_the_millisecond_and_while_its_destination_answers() -> None:
    assert (billed(0.0101), billed(0.01)) == (0.011, 0.01)
    quick, slow = (amounts(default_topology(), Traffic(100_000, seconds)) for seconds in (0.1, 5.1))
    assert slow["duration of the calls"] - quick["duration of the calls"] == pytest.approx(100_000 * 5 * 0.5)


def test_sparse_traffic_pays_for_starts() -> None:
    few, many = (amounts(default_topology(), Traffic(events))["duration of the calls"] for events in (100, 1_000_000))
    assert few > 100 * START_SECONDS * 0.5
    assert many < 10_000 * few


def test_a_stack_without_events_costs_its_polls_sweeps_secrets_and_alarms() -> None:
    topology = default_topology()
    found = amounts(topology, Traffic(0))
    assert found["queue requests for events"] == 0
    assert found["polls of empty queues"] == 6 * 5 * 30 * 86_400 / 20
    assert found["scheduled sweeps"] == found["calls of the functions"] == sweeps_a_month(topology) == 43_200
    assert found["metrics in alarms"] == alarm_metrics(topology) > len(topology.alarms)


def test_a_destination_costs_two_metrics_for_each_hour_in_which_it_gets_something() -> None:
    found = {
        count: amounts(default_topology(), Traffic(events, destinations=count))["metrics of deliveries"]
        for count, events in ((0, 1_000_000), (1, 1_000_000), (20, 1_000_000), (2, 2))
    }
    assert [found[0], found[1], found[20]] == pytest.approx([0, 2, 40])
    assert found[2] == pytest.approx(4 / (30 * 24), rel=0.01)


def test_amounts_follow_the_configuration() -> None:
    slices = compile_config(parse_config(CONFIG, "hookchain.yaml", Path()))
    own, default = amounts(find_topology(slices, {}), Traffic(0)), amounts(default_topology(), Traffic(0))
    assert own["secrets"] == default["secrets"] + 1
    topology = default_topology()
    larger = replace(
        topology, functions=tuple(replace(each, settings={"aws": {"memory": 1769}}) for each in topology.functions)
    )
    before, after = (amounts(each, Traffic(0))["duration of the calls"] for each in (topology, larger))
    assert after == pytest.approx(before * 1769 / 512)


def test_what_is_stored_follows_the_retention() -> None:
    longer = Retention(events_seconds=60 * 86_400.0, bodies_seconds=60 * 86_400.0)
    found, before = (amounts(default_topology(), Traffic(1_000), kept) for kept in (longer, None))
    added = found["ledger and journal, stored"] - before["ledger and journal, stored"]
    assert added == pytest.approx(1_000 * read_usage()["bytes_events"])


def test_bodies_that_go_before_their_events_cost_a_write_each() -> None:
    plain, sooner = (
        amounts(default_topology(), Traffic(1_000), kept)["writes"]
        for kept in (None, Retention(bodies_seconds=86_400.0))
    )
    assert sooner - plain == 1_000


def test_the_prices_are_those_of_the_plans_region_or_said_to_be_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        "currency: USD\nlisted: us-east-1\nsecret_month: 1\n"
        "regions: {eu-central-1: {secret_month: 9, listed: eu-central-1}}\n"
    )
    asked = ["costs", "--platform", "aws", "--config", "none", "--prices", str(prices)]
    other = "The region of the plan is eu-west-3, where prices may differ"
    for region, price, is_other in (
        ("us-east-1", "1.00", False),
        ("eu-central-1", "9.00", False),
        ("eu-west-3", "1.00", True),
    ):
        monkeypatch.setenv("AWS_REGION", region)
        assert main(asked) == 0
        printed = capsys.readouterr().out
        [secrets] = [line for line in printed.splitlines() if line.startswith("secrets ")]
        assert secrets.split()[-1] == f"{2 * float(price):.2f}"
        assert (other in printed) == is_other


def test_every_price_is_listed_with_its_region_and_date() -> None:
    prices = read_prices(PRICES_FILE, COSTS.known_prices())
    assert prices.currency == "USD"
    assert re.search(r"us-east-1 as of 20\d\d-\d\d.*without the free tier", prices.origin)
    assert set(prices.by_name) == {row.price for row in price_rows()}
    assert all(price > 0 for price in prices.by_name.values())


def test_the_command_estimates_aws_offline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["costs", "--platform", "aws", "--config", "none", "--env-file", os.devnull]
    assert main([*arguments, "--events", "1e6"]) == 0
    output = capsys.readouterr().out
    assert "polls of empty queues" in output
    assert "AWS's list prices in us-east-1" in output
    prices = tmp_path / "prices.yaml"
    prices.write_text("currency: CHF\nmillion_write_units: 2\nmillion_schedules: 10\n")
    assert main([*arguments, "--events", "2e6", "--prices", str(prices)]) == 0
    output = capsys.readouterr().out
    assert f"Total: {2 * read_usage()['write_units'] * 2 + 0.432:,.2f} CHF a month, without" in output


# What one event uses


def size(item: Mapping[str, Json]) -> int:
    """The bytes of an item as DynamoDB counts them, with names; a number has about as many bytes as half its digits."""
    total = 0
    for name, value in item.items():
        assert isinstance(value, dict)
        [(kind, content)] = value.items()
        total += len(name) + (len(str(content)) // 2 + 1 if kind == "N" else len(content))  # type: ignore[arg-type]
    return total


def units(item_bytes: int) -> int:
    return math.ceil(item_bytes / 1024)


class Tables:
    """The items of a table and of its indexes, by index name; the table itself is the empty name."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def sizes(self, table: str) -> dict[str, int]:
        [found] = [each for each in TABLES if each.name == table]
        sizes = {"": self._size(table, {})}
        sizes |= {index.name: self._size(table, {"IndexName": index.name}) for index in found.indexes}
        return {name: each for name, each in sizes.items() if each}

    def _size(self, table: str, index: Mapping[str, str]) -> int:
        items = self._stack.call("dynamodb", "scan", TableName=f"{self._stack.prefix}{table}", **index)["Items"]
        assert isinstance(items, list)
        return sum(size(each) for each in items if isinstance(each, dict))


async def test_one_event_uses_what_the_estimate_says(stack: Stack) -> None:
    """An event of some 200 bytes, which one route takes to one mail."""
    stack.add_tables()
    tables = Tables(stack)
    event = replace(EVENT, id="a" * 32, data={"id": "event-1", "note": "n" * 150})
    document = to_json(to_cloudevent(event)).encode()
    delivery = Delivery(event, "all of it", "people")
    message = delivery_message(delivery, document, "2026-03-01T12:00:00.000Z", {}).data
    ledger = DynamoLedger(stack.place, stack.prefix)
    journal = DynamoJournal(stack.place, stack.prefix, None, Retention())
    claim = await ledger.claim(delivery, message, T, LEASE)
    assert isinstance(claim, Claimed)
    claimed = tables.sizes("deliveries")
    assert await ledger.settle(claim, done(T + 1, answer="202 Accepted"))
    settled = tables.sizes("deliveries")
    await journal.record([EventEntry(event, (), T, document=document)])
    recorded = tables.sizes("events")
    ledger.close()
    journal.close()
    writes = (
        sum(map(units, claimed.values())) + units(max(claimed[""], settled[""])) + sum(map(units, recorded.values()))
    )
    usage = read_usage()
    assert usage["write_units"] == writes
    overhead = 100  # of each item, and of each entry of an index
    assert usage["bytes_ledger"] == pytest.approx(sum(settled.values()) + overhead * len(settled), rel=0.25)
    assert usage["bytes_events"] == pytest.approx(sum(recorded.values()) + overhead * len(recorded), rel=0.25)


async def test_an_event_for_subscribers_uses_what_the_estimate_says(stack: Stack) -> None:
    """An event of some 200 bytes, which goes to one endpoint of one tenant."""
    stack.add_tables()
    tables, world = Tables(stack), FakeWorld()
    documents, ledger = DynamoDocuments(stack.place, stack.prefix), DynamoLedger(stack.place, stack.prefix)
    world.start_on(documents, ledger)
    await world.tenant()
    name = await world.endpoint()
    before = tables.sizes("documents")
    event = replace(PAID, id="a" * 32, data={"accountId": "acme", "note": "n" * 150})
    await world.publish(event)
    message = tables.sizes("documents")[""] - before[""]
    assert message == pytest.approx(MESSAGE_BYTES, rel=0.1)
    assert units(message) <= MESSAGE_UNITS == WRITES_A_MESSAGE, "each is less than a unit"
    own = tables.sizes("deliveries")
    delivery, document = Delivery(event, "to customers", name), to_json(to_cloudevent(event)).encode()
    data = delivery_message(delivery, document, "2026-03-01T12:00:00.000Z", {}).data
    claim = await ledger.claim(delivery, data, T, LEASE)
    assert isinstance(claim, Claimed)
    claimed = grown(own, tables.sizes("deliveries"))
    assert await ledger.settle(claim, done(T + 1, answer="200 OK"))
    settled = grown(own, tables.sizes("deliveries"))
    assert sum(map(units, claimed.values())) + units(max(claimed[""], settled[""])) == ENDPOINT_DELIVERY_UNITS
    stored = sum(settled.values()) + 100 * len(settled)
    assert stored == pytest.approx(ENDPOINT_DELIVERY_BYTES, rel=0.1)
    documents.close()
    ledger.close()


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {name: added for name, size in after.items() if (added := size - before.get(name, 0))}


def test_subscribers_cost_what_their_messages_and_deliveries_write_and_nothing_without_them() -> None:
    topology, million = default_topology(), Traffic(1_000_000)
    without, with_three = amounts(topology, million), amounts(topology, replace(million, endpoints=3))
    assert with_three.keys() - without.keys() == {each for each in with_three if each.startswith("subscribers, ")}
    assert with_three["subscribers, writes"] == 1e6 * (MESSAGE_UNITS + 3 * ENDPOINT_DELIVERY_UNITS)
    assert with_three["subscribers, reads at most"] == 1e6 * (1 + 3 + 3 * 2)
    assert with_three["duration of the calls"] > 2 * without["duration of the calls"]
