"""The metrics that a deployment counts from the log lines of a function, and the charts that show them."""

from dataclasses import dataclass
from typing import Final

from shared.outcomes import DeliveryOutcome


@dataclass(frozen=True, slots=True)
class LogMetric:
    """A count of the log lines that a function writes with one of some outcomes.

    by  the fields of a line whose values are counted apart. Platforms charge each combination of values, so a field
        has few; a line without one of the fields is not counted
    """

    name: str
    does: str
    function: str
    by: tuple[str, ...]
    outcomes: tuple[DeliveryOutcome, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of a metric's lines that have one of the outcomes, per minute."""

    title: str
    metric: LogMetric
    outcomes: tuple[DeliveryOutcome, ...]


DELIVERIES: Final = LogMetric(
    "deliveries",
    "Deliveries that notify took, by destination and outcome",
    "notify",
    by=("destination", "outcome"),
    outcomes=("delivered", "retry_scheduled", "unknown", "deferred", "gathered", "held", "dead_lettered"),
)
"""Copies of a message, such as `finished`, are no deliveries."""
LOG_METRICS: Final = (DELIVERIES,)
CHARTS: Final = (
    Chart("Deliveries a minute, by destination and outcome", DELIVERIES, DELIVERIES.outcomes),
    Chart("Failed attempts that come again, by destination", DELIVERIES, ("retry_scheduled", "unknown")),
    Chart("Deferred by a pause or a cap, or held, by destination", DELIVERIES, ("deferred", "held")),
)
