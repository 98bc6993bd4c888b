"""The metrics that a deployment takes from the log lines of a function, and the charts that show them."""

from dataclasses import dataclass
from typing import Final, Literal

from shared.outcomes import DeliveryOutcome

Statistic = Literal["sum", "p99", "maximum"]
"""Of the values of a minute."""


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
    outcomes: tuple[DeliveryOutcome, ...] = ()
    value: str = ""
    unit: Literal["ms", "s", ""] = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of a metric's lines, per minute: those that have one of the outcomes, or all of a metric without them."""

    title: str
    metric: LogMetric
    outcomes: tuple[DeliveryOutcome, ...] = ()
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
