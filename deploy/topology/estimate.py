"""The estimate of a month, in the order in which it is made.

The cost model of a platform (deploy/gcp/costs.py, deploy/aws/costs.py) makes rows with amounts from the traffic of a
month. Each row names a price, and its cost is its amount times this price in the price file.
"""

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Final, TypeAlias

import yaml

from deploy.terminal.command_line import CommandError
from functions.receive.source import read_sources
from shared import delivery, jsontext
from shared.retention import DAY_SECONDS, Retention

MILLION: Final = 1_000_000
GIB: Final = 2**30
MONTH_SECONDS: Final = 30 * DAY_SECONDS
MONTH_MINUTES: Final = MONTH_SECONDS / 60
WRITES_A_MESSAGE: Final = 2
"""The message of a tenant, and the entry that finds it. Each is deleted in the end."""
WRITES_AN_ENDPOINT_DELIVERY: Final = 2
"""The claim and the outcome, as of every delivery."""
ANSWER_SECONDS: Final = 0.5
"""How long a destination takes to answer, unless the operator says otherwise."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the estimate.

    what        the text that a person reads
    amount      how much of `unit` a month uses; an empty `unit` counts what `what` names
    price_name  the name of its price in the price file
    per         the amount that this price buys
    """

    what: str
    amount: float
    _: KW_ONLY
    unit: str = ""
    price_name: str
    per: float = 1


@dataclass(frozen=True, slots=True)
class Traffic:
    """The events of a month, evenly distributed, and how long a destination takes to answer.

    `signed_share`: the share of events whose signed bytes are remembered, so that a repeated request is recognized.
    `destinations`: those that the events are distributed to, one each.
    `endpoints`: the endpoints of one tenant of subscribers that each event goes to besides; 0 without subscribers.
    """

    events: float = MILLION
    answer_seconds: float = ANSWER_SECONDS
    signed_share: float = 0.0
    destinations: int = 1
    endpoints: float = 0.0

    @property
    def messages(self) -> float:
        """Return the copies of events that are kept for tenants."""
        return self.events if self.endpoints else 0.0

    @property
    def endpoint_deliveries(self) -> float:
        return self.events * self.endpoints

    def busy_share(self, seconds: float) -> float:
        """Return the share of periods of so many seconds in which a destination gets an event."""
        events = self.events / max(1, self.destinations)
        return 1 - math.exp(-events * seconds / MONTH_SECONDS)


PlatformRows: TypeAlias = Callable[
    [Mapping[str, jsontext.JsonObject], Mapping[str, str], Mapping[str, float], Traffic], list[Row]
]
"""A function that returns the rows of one platform's estimate.

It gets the compiled configuration by function, the environment of the deployment, what one event was measured to use by
name, and the traffic.
"""


@dataclass(frozen=True, slots=True)
class CostModel:
    """The estimate of one platform. `folder` has its price file, and what one event was measured to use."""

    folder: Path
    rows: PlatformRows

    @property
    def price_file(self) -> Path:
        return self.folder / "prices.yaml"

    @property
    def usage_file(self) -> Path:
        return self.folder / "usage.json"

    def read_usage(self) -> dict[str, float]:
        usage: dict[str, float] = json.loads(self.usage_file.read_text(encoding="utf-8"))
        return usage


def stored_bytes(usage: Mapping[str, float], events: float, retention: Retention) -> float:
    """Return what ledger and journal hold once the oldest entries expire as new ones are written."""
    seconds = {"bytes_ledger": delivery.REMEMBERED_SECONDS, "bytes_events": retention.events_seconds}
    return sum(usage[name] * events * each / MONTH_SECONDS for name, each in seconds.items())


def subscriber_bytes(traffic: Traffic, retention: Retention, message_bytes: int, delivery_bytes: int) -> float:
    """Return what the copies of events and the deliveries to endpoints hold, once the oldest entries expire."""
    copies = message_bytes * traffic.messages * retention.messages_seconds
    deliveries = delivery_bytes * traffic.endpoint_deliveries * delivery.REMEMBERED_SECONDS
    return (copies + deliveries) / MONTH_SECONDS


def subscriber_reads(traffic: Traffic) -> float:
    """Return the documents that are read if none is remembered any more, as with many tenants that get little each.

    Of a message the tenant, which is always read, and its endpoints; of a delivery to an endpoint the endpoint and its
    state.
    """
    return traffic.messages * (1 + max(1.0, traffic.endpoints)) + traffic.endpoint_deliveries * 2


@dataclass(frozen=True, slots=True)
class PriceList:
    """A price file as it is read.

    currency  the text that stands after each amount; may be empty
    origin    where and when the prices were listed
    by_name   the price for each name, in that currency
    """

    currency: str
    origin: str
    by_name: Mapping[str, float]

    def cost_of(self, row: Row) -> float | None:
        """Return the cost of the row's amount; None if the file has no price for it."""
        price = self.by_name.get(row.price_name)
        return None if price is None else row.amount / row.per * price


class PricesFault(CommandError):
    """The price file is invalid. The text says what and where."""


def share_of_signed_sources(receive: jsontext.JsonObject) -> float:
    """Return the share of the sources that remember signed bytes; `receive` is the slice of receive.

    A source remembers them if its sender signs the content, unless it recognizes repeated requests by `delivery_id`.
    """
    sources = read_sources(receive).values()
    signed = [each for each in sources if any(auth.signs_content for auth in each.auth)]
    return sum(each.dedupe != "delivery_id" for each in signed) / max(1, len(sources))


def rows_in_use(rows: Iterable[Row]) -> list[Row]:
    """Return the rows without those of idle instances that use nothing. Their prices have names in `idle_`."""
    return [row for row in rows if row.amount or not row.price_name.startswith("idle_")]


def amount_text(row: Row) -> str:
    if row.unit == "bytes":
        gib = row.amount / GIB
        return f"{gib:,.1f} GiB" if gib >= 0.1 else f"{gib * 1024:,.1f} MiB"
    return f"{row.amount:,.0f} {row.unit}".rstrip()


def read_prices(path: Path, known: Collection[str], region: str = "") -> PriceList:
    """Read a price file, whose prices must have names in `known`. Raises PricesFault.

    The file's `regions` may have other prices for a region, which replace the general ones. A price may be left out,
    or be null.
    """
    try:
        document: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PricesFault(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise PricesFault(f"{path} cannot be read: it is not YAML in UTF-8") from error
    if not isinstance(document, dict):
        raise PricesFault(f"{path}: must be lines of `name: price`")
    regions = document.get("regions") or {}
    regional = (regions.get(region) or {}) if isinstance(regions, dict) else regions
    if not isinstance(regional, dict):
        raise PricesFault(f"{path}: regions: must be the name of each region, with its prices; got {regions!r}")
    filled = {
        str(name): value
        for name, value in {**document, **regional}.items()
        if name not in {"currency", "listed", "regions"} and value is not None
    }
    for name, value in filled.items():
        if name not in known:
            raise PricesFault(f"{path}: {name!r} is not a price; use {', '.join(sorted(known))}")
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise PricesFault(f"{path}: {name}: must be a number such as 0.4; got {value!r}")
    currency = str(document.get("currency", ""))
    origin = str(regional.get("listed", document.get("listed", "")))
    return PriceList(currency, origin, {name: float(value) for name, value in filled.items()})
