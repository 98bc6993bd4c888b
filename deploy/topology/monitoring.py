"""The monitoring of a deployment: metrics of its functions' log lines, the charts that show them, and alarms.

The counts of a window are what commands read of a platform's metrics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import TypeAdapter

from deploy.config.packaged_yaml import load_data
from shared.jsontext import mappings_at
from shared.outcomes import DeliveryOutcome, RequestOutcome

Statistic = Literal["sum", "p99", "maximum"]
"""The one value that a chart shows of those of a minute."""


@dataclass(frozen=True, slots=True)
class LogMetric:
    """A count of the log lines that a function writes, or of the values of one of their fields.

    by        the fields of a line whose values are counted apart. Platforms charge each combination of values, so a
              field has few; a line without one of the fields is not counted
    outcomes  those of the lines; empty for lines without an outcome
    value     the field whose values are taken, in `unit`; empty for a count. A line without it does not count
    """

    name: str
    does: str
    function: str
    by: tuple[str, ...]
    outcomes: tuple[DeliveryOutcome | RequestOutcome, ...] = ()
    value: str = ""
    unit: Literal["ms", "s", ""] = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of a metric's lines, per minute: those that have one of the outcomes, or all of a metric without them."""

    title: str
    metric: LogMetric
    outcomes: tuple[DeliveryOutcome | RequestOutcome, ...] = ()
    statistic: Statistic = "sum"


DELIVERIES: Final = LogMetric(
    "deliveries",
    "Deliveries that notify took, by destination and outcome",
    "notify",
    by=("destination", "outcome"),
    outcomes=("delivered", "retry_scheduled", "unknown", "deferred", "gathered", "held", "dead_lettered"),
)
"""Copies of a message, such as `finished`, are no deliveries."""
ATTEMPTS: Final = LogMetric(
    "attempts", "Durations of attempts, by destination", "notify", by=("destination",), value="attempt_ms", unit="ms"
)
BREAKERS: Final = LogMetric(
    "breakers", "Circuit breakers that opened or closed, by destination", "notify", by=("destination", "breaker")
)
OLDEST: Final = LogMetric(
    "oldest-delivery",
    "Ages of the oldest deliveries that the sweep found due, by destination",
    "notify",
    by=("destination",),
    value="oldest_seconds",
    unit="s",
)
DUE: Final = LogMetric(
    "due-deliveries",
    "Numbers of deliveries that the sweep found due, by destination",
    "notify",
    by=("destination",),
    value="count",
)
RECOVERED: Final = LogMetric(
    "recovered",
    "Events that a provider could not deliver and that were recovered, by source",
    "notify",
    by=("source",),
    value="recovered",
)
"""Not among LOG_METRICS: only for a configuration in which a source has `recover`."""
REJECTED: Final = LogMetric(
    "rejected", "Requests that receive rejected, by code", "receive", by=("code",), outcomes=("rejected",)
)
"""Not among LOG_METRICS: only for a configuration with `telemetry`, because receive sends no metrics itself."""
LOG_METRICS: Final = (DELIVERIES, ATTEMPTS, BREAKERS, OLDEST, DUE)
CHARTS: Final = (
    Chart("Deliveries a minute, by destination and outcome", DELIVERIES, DELIVERIES.outcomes),
    Chart("Failed attempts that come again, by destination", DELIVERIES, ("retry_scheduled", "unknown")),
    Chart("Deferred by a pause or a cap, or held, by destination", DELIVERIES, ("deferred", "held")),
    Chart("Duration of an attempt, 99th percentile (ms), by destination", ATTEMPTS, statistic="p99"),
    Chart("Circuit breakers that opened or closed, by destination", BREAKERS),
    Chart("Backlog: age of the oldest delivery that came due (s), by destination", OLDEST, statistic="maximum"),
    Chart("Backlog: deliveries that came due in a minute, by destination", DUE, statistic="maximum"),
)


class MetricWindow(NamedTuple):
    """The periods for which metrics are read: `buckets` of them, of `bucket_seconds` each. The last one contains `now`.

    `destinations` are the configured ones.
    """

    now: float
    bucket_seconds: int
    buckets: int
    destinations: Sequence[str]


CountKind = Literal["requests", "rejected", "attempts", "delivered"]
"""Of the requests to receive, those that it rejected. Of the attempts (ATTEMPTS), those that delivered (DELIVERIES)."""


class MetricCount(NamedTuple):
    """A count in the bucket that contains the time `at`, in Unix seconds. Requests have no destination."""

    kind: CountKind
    at: float
    number: int
    destination: str = ""


Measure = Literal["dead_letters", "oldest_message", "oldest_brought", "errors", "sweeps"]
"""The measure of an alarm:

dead_letters    the number of dead letters in its window
oldest_message  the age in seconds of the oldest message of a topic
oldest_brought  the same of the messages that a bus brings to a source
errors          the number of failed calls of a function in its window
sweeps          the number of sweeps that succeeded in its window
"""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm. `why`, `condition` and `advice` are texts for people.

    It goes off while the measure is above `bound`, or with `is_least` below it, for `holds_seconds`.
    """

    name: str
    why: str
    condition: str
    advice: str
    measure: Measure
    window_seconds: int
    bound: int
    is_least: bool = False
    holds_seconds: int = 0


def _read_alarms() -> dict[str, Alarm]:
    documents = mappings_at(load_data(Path(__file__).with_name("alarms.yaml")))
    alarms = [{"name": name, **document} for name, document in documents.items()]
    return {each.name: each for each in TypeAdapter(list[Alarm]).validate_python(alarms)}


_ALARMS_BY_NAME: Final = _read_alarms()
SOURCE_ALARM: Final = _ALARMS_BY_NAME["source-messages"]
"""For a configuration with a source that a bus brings messages to."""
ALARMS: Final = tuple(each for each in _ALARMS_BY_NAME.values() if each != SOURCE_ALARM)
