"""Metrics of OpenTelemetry: what happened since the last flush, as deltas, and what the last sweep found.

Counts are taken from the spans of a process, so that both say the same. A function has many processes, which come and
go: each sends deltas, under an id of its own. The numbers of the sweep are of the whole deployment, so they are
cumulative, and the newest is right.

https://opentelemetry.io/docs/specs/otel/metrics/data-model/
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from shared.jsontext import Json, JsonObject, texts_json
from shared.subscribers.names import SEPARATOR
from shared.telemetry import spans

METRICS: Final = "/v1/metrics"
MAX_SERIES: Final = 2_000
"""The most counts that wait. Further combinations of names and outcomes are not counted."""
_DELTA: Final = 1
_CUMULATIVE: Final = 2

STATE: Final = "hookchain.state"
SOURCE: Final = "hookchain.source"

Kind = Literal["delta", "cumulative", "gauge"]
Series: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's name and the attributes of a point."""


class Metric(NamedTuple):
    kind: Kind
    unit: str
    description: str


TABLE: Final[Mapping[str, Metric]] = {
    "hookchain.events": Metric("delta", "{event}", "Events that transform processed, by source and outcome"),
    "hookchain.attempts": Metric("delta", "{attempt}", "Attempts, by destination and outcome"),
    "hookchain.backlog": Metric("cumulative", "{delivery}", "Deliveries that came due in the minute, by destination"),
    "hookchain.backlog.oldest": Metric("gauge", "s", "Age of the oldest of these deliveries, by destination"),
    "hookchain.destinations": Metric("cumulative", "{destination}", "Destinations, by state"),
}


class Metrics:
    """The metrics of a process: a Signal of its exporter. `resource` has the attributes of the function's resource."""

    path: Final = METRICS

    def __init__(self, resource: JsonObject, now: Callable[[], float]) -> None:
        self._resource = resource
        self._now = now
        self._began_at = now()
        self._since = self._began_at
        self._counts: Counter[Series] = Counter()
        self._levels: dict[Series, float] = {}
        self._taken_since = self._since
        self._taken: Counter[Series] = Counter()
        self._taken_levels: dict[Series, float] = {}

    @property
    def is_waiting(self) -> bool:
        return bool(self._counts or self._levels)

    def count_span(self, span: spans.Span) -> None:
        """Count an event that was processed, or an attempt. Other spans are not counted.

        Nor is the further run of a route that waited: the event was counted at its first run.
        """
        attributes = span.attributes
        is_further_run = attributes.get(spans.ROUTE) is not None
        outcome = str(attributes.get(spans.OUTCOME) or span.error)
        if span.kind == spans.CONSUMER and span.service == "transform" and not is_further_run:
            source = str(attributes.get(spans.EVENT_SOURCE)).rpartition("/")[2]
            self._count("hookchain.events", {SOURCE: source, spans.OUTCOME: outcome})
        elif span.kind == spans.CLIENT and span.service == "notify":
            # The destination's name alone: no metric has a series for each endpoint.
            destination = str(attributes.get(spans.DESTINATION)).partition(SEPARATOR)[0]
            self._count("hookchain.attempts", {spans.DESTINATION: destination, spans.OUTCOME: outcome})

    def _count(self, name: str, attributes: Mapping[str, str]) -> None:
        series = name, tuple(attributes.items())
        if series in self._counts or len(self._counts) < MAX_SERIES:
            self._counts[series] += 1

    def set_levels(self, name: str, levels: Iterable[tuple[Mapping[str, str], float]]) -> None:
        """Set what the sweep found of a metric, by attributes."""
        for attributes, value in levels:
            self._levels[name, tuple(attributes.items())] = value

    def take(self) -> bytes:
        """Return an ExportMetricsServiceRequest in JSON with all that waits."""
        now = self._now()
        self._taken, self._taken_levels, self._taken_since = self._counts, self._levels, self._since
        self._counts, self._levels, self._since = Counter(), {}, now
        # Another process may run the next sweep, and what it finds must replace this.
        deployment_resource = {
            name: value for name, value in self._resource.items() if name != spans.SERVICE_INSTANCE_ID
        }
        groups = (
            (self._resource, self._taken, self._taken_since),
            (deployment_resource, self._taken_levels, self._began_at),
        )
        listed: list[Json] = [
            {
                "resource": {"attributes": spans.attributes_json(resource)},
                "scopeMetrics": [{"scope": {"name": "hookchain"}, "metrics": _metrics(values, since, now)}],
                "schemaUrl": spans.SCHEMA_URL,
            }
            for resource, values, since in groups
            if values
        ]
        return texts_json({"resourceMetrics": listed})

    def put_back(self) -> None:
        """Put back what the last `take` took, which was not sent. Later counts are added, and later levels stay."""
        self._counts.update(self._taken)
        self._levels = {**self._taken_levels, **self._levels}
        self._since = self._taken_since


def _metrics(values: Mapping[Series, float], since: float, now: float) -> list[Json]:
    points: dict[str, list[Json]] = {}
    for (name, attributes), value in values.items():
        points.setdefault(name, []).append(_point(attributes, value, since, now))
    return [_metric(name, found) for name, found in points.items()]


def _point(attributes: Iterable[tuple[str, str]], value: float, since: float, now: float) -> JsonObject:
    return {
        "attributes": spans.attributes_json(dict(attributes)),
        "startTimeUnixNano": spans.nanoseconds(since),
        "timeUnixNano": spans.nanoseconds(now),
        **({"asInt": str(value)} if isinstance(value, int) else {"asDouble": value}),
    }


def _metric(name: str, points: list[Json]) -> JsonObject:
    metric = TABLE[name]
    data: JsonObject = {"dataPoints": points}
    if metric.kind == "gauge":
        return {"name": name, "unit": metric.unit, "description": metric.description, "gauge": data}
    temporality = _DELTA if metric.kind == "delta" else _CUMULATIVE
    total: JsonObject = {**data, "aggregationTemporality": temporality, "isMonotonic": metric.kind == "delta"}
    return {"name": name, "unit": metric.unit, "description": metric.description, "sum": total}
