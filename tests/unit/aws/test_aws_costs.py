"""What a month on AWS costs follows how AWS bills, the configuration, and what one event uses."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.aws.costs import COSTS, alarm_metrics, rows, sweeps_a_month
from deploy.cli.main import main
from deploy.config.compiler import compile_file
from deploy.topology.estimate import Traffic, read_prices
from deploy.topology.topology import Topology, find_topology
from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.tables import TABLES
from shared.delivery import Delivery, delivery_message
from shared.event import to_cloudevent
from shared.journal import EventEntry
from shared.jsontext import Json, mapping_at, objects_at, to_json
from shared.ledger import Claimed
from shared.retention import Retention
from tests.aws.operator import Stack
from tests.contract.claims import EVENT, LEASE, T, done


def default_topology() -> Topology:
    environ = {"EMAIL_ADDRESS": "you@example.com"}
    return find_topology(compile_file(None, environ), environ)


def amounts(topology: Topology, traffic: Traffic, kept: Retention | None = None) -> dict[str, float]:
    return {row.what: row.amount for row in rows(topology, COSTS.read_usage(), traffic, kept or Retention())}


def test_a_stack_without_events_costs_its_polls_sweeps_secrets_and_alarms() -> None:
    topology = default_topology()
    found = amounts(topology, Traffic(0))
    assert found["queue requests for events"] == 0
    assert found["polls of empty queues"] == 6 * 5 * 30 * 86_400 / 20
    assert found["scheduled sweeps"] == found["calls of the functions"] == sweeps_a_month(topology) == 43_200
    assert found["metrics in alarms"] == alarm_metrics(topology) > len(topology.alarms)


def test_the_prices_are_those_of_the_plans_region_or_said_to_be_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = tmp_path / "prices.yaml"
    regions = "{eu-central-1: {secret_month: 9, listed: eu-central-1}}"
    prices.write_text(f"currency: USD\nlisted: us-east-1\nsecret_month: 1\nregions: {regions}\n")
    for region, cost, is_other in (("eu-central-1", "18.00", False), ("eu-west-3", "2.00", True)):
        monkeypatch.setenv("AWS_REGION", region)
        assert main(["costs", "--platform", "aws", "--config", "none", "--prices", str(prices)]) == 0
        printed = capsys.readouterr().out
        [secrets] = [line for line in printed.splitlines() if line.startswith("secrets ")]
        assert secrets.split()[-1] == cost
        assert ("The region of the plan is eu-west-3, where prices may differ" in printed) == is_other


def test_every_price_is_listed_with_its_region_and_date() -> None:
    used = {row.price_name for row in rows(default_topology(), COSTS.read_usage(), Traffic(), Retention())}
    prices = read_prices(COSTS.price_file, used)
    assert prices.currency == "USD"
    assert re.search(r"us-east-1 as of 20\d\d-\d\d.*without the free tier", prices.origin)
    assert set(prices.by_name) == used
    assert all(price > 0 for price in prices.by_name.values())


# What one event uses


def size(item: Mapping[str, Json]) -> int:
    """The bytes of an item as DynamoDB counts them, with names; a number has about as many bytes as half its digits."""
    total = 0
    for name, value in item.items():
        [(kind, content)] = mapping_at(value).items()
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
        scanned = self._stack.call("dynamodb", "scan", TableName=f"{self._stack.prefix}{table}", **index)
        return sum(map(size, objects_at(scanned, "Items")))


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
    usage = COSTS.read_usage()
    assert usage["write_units"] == writes
    overhead = 100  # of each item, and of each entry of an index
    assert usage["bytes_ledger"] == pytest.approx(sum(settled.values()) + overhead * len(settled), rel=0.25)
    assert usage["bytes_events"] == pytest.approx(sum(recorded.values()) + overhead * len(recorded), rel=0.25)
