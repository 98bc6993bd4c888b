"""The monitoring of a stack: the series of its alarms, the metrics that are counted from logs, and the dashboard."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from deploy.aws import template_names as names
from deploy.aws.resources.queues import brought_queues
from deploy.cloud_access import aws_names
from deploy.cloud_access.aws_names import METRIC_NAMESPACE
from deploy.topology.functions import SWEEP
from deploy.topology.monitoring import CHARTS, Alarm, Chart, LogMetric, Measure, Statistic
from deploy.topology.topology import Topology
from shared import ports
from shared.jsontext import Json

UNITS: Final = {"": "Count", "ms": "Milliseconds", "s": "Seconds"}
STATISTICS: Final[Mapping[Statistic, str]] = {"sum": "Sum", "p99": "p99", "maximum": "Maximum"}
QUEUES_AN_ALARM: Final = 3
"""An alarm takes ten metrics, of which a queue needs three."""


def filter_pattern(metric: LogMetric) -> str:
    """Return the pattern of CloudWatch Logs that selects the metric's lines."""
    conditions = [f'($.function = "{metric.function}")']
    if metric.outcomes:
        conditions.append("(" + " || ".join(f'($.outcome = "{each}")' for each in metric.outcomes) + ")")
    if metric.value:
        conditions.append(f"($.{metric.value} >= 0)")
    conditions += [f'($.{each} = "*")' for each in metric.by if each != "outcome"]
    return f"{{ {' && '.join(conditions)} }}"


def search(chart: Chart) -> str:
    """Return the expression for the chart's series, which finds each destination that there is.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html
    """
    has_fewer_outcomes = chart.outcomes != chart.metric.outcomes
    outcomes = " OR ".join(f'outcome="{each}"' for each in chart.outcomes)
    selected = f'MetricName="{names.PREFIX}{chart.metric.name}"' + (f" ({outcomes})" if has_fewer_outcomes else "")
    dimensions = ",".join(chart.metric.by)
    return f"SEARCH('{{{METRIC_NAMESPACE},{dimensions}}} {selected}', '{STATISTICS[chart.statistic]}', 60)"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of one function or one queue, by its name."""

    service: Literal["Lambda", "SQS"]
    name: str
    of: str
    statistic: str = "Sum"

    @property
    def dimension(self) -> str:
        return "FunctionName" if self.service == "Lambda" else "QueueName"


@dataclass(frozen=True, slots=True)
class Series:
    """A measure: an expression over metrics, which it names `m1`, `m2` …; `period_seconds` where the alarm's own window
    does not do."""

    expression: str
    metrics: tuple[Metric, ...]
    period_seconds: int | None = None


def _dead_letters(topology: Topology, _: Alarm) -> list[Series]:
    """Count dead letters as notify gets them: those of the functions, and those that SQS gave up on."""
    queues = [_queue(ports.DEAD_LETTERS), *_undelivered(topology)]
    return [Series("SUM(METRICS())", tuple(Metric("SQS", "NumberOfMessagesReceived", each) for each in queues))]


def _oldest_message(topology: Topology, alarm: Alarm) -> list[Series]:
    return [_oldest_of([_queue(each.name) for each in topology.topics], alarm)]


def _oldest_brought(topology: Topology, alarm: Alarm) -> list[Series]:
    queues = [*brought_queues(topology)]
    batches = [queues[first : first + QUEUES_AN_ALARM] for first in range(0, len(queues), QUEUES_AN_ALARM)]
    return [_oldest_of(each, alarm) for each in batches]


def _oldest_of(queues: Sequence[str], alarm: Alarm) -> Series:
    """Return the age of the oldest message of the queues, in seconds.

    SQS leaves messages that were received three times or more out of the age. So a queue in which nothing gets done
    also alarms: messages were being worked on during the whole of the alarm's bound, and none was deleted.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    """
    metrics: list[Metric] = []
    terms: list[str] = []
    for queue in queues:
        first = len(metrics) + 1  # the metrics are named m1, m2 …; FILL gives 0 for a time without a value
        age, busy, done = f"FILL(m{first}, 0)", f"FILL(m{first + 1}, 0)", f"FILL(m{first + 2}, 0)"
        metrics.append(Metric("SQS", "ApproximateAgeOfOldestMessage", queue, "Maximum"))
        metrics.append(Metric("SQS", "ApproximateNumberOfMessagesNotVisible", queue, "Minimum"))
        metrics.append(Metric("SQS", "NumberOfMessagesDeleted", queue))
        terms += [age, f"IF({busy} > 0 AND {done} < 1, {alarm.bound + 1}, 0)"]  # one more than the bound: it alarms
    return Series(f"MAX([{', '.join(terms)}])", tuple(metrics), alarm.bound)


def _errors(topology: Topology, _: Alarm) -> list[Series]:
    """Take the most failed invocations of a function, or of a public one the answers of 500 and more."""
    metrics = [
        Metric("Lambda", "Url5xxCount" if each.function.is_public else "Errors", _function(each.name))
        for each in topology.functions
    ]
    return [Series("MAX(METRICS())", tuple(metrics))]


def _sweeps(topology: Topology, _: Alarm) -> list[Series]:
    """Count the calls of the scheduler. A sweep that fails counts among the errors."""
    swept = [_function(each.name) for each in topology.functions if SWEEP in each.function.schedules]
    return [Series("SUM(METRICS())", tuple(Metric("Lambda", "AsyncEventsReceived", each) for each in swept))]


def _function(name: str) -> str:
    return aws_names.function(names.PREFIX, name)


def _queue(topic: str) -> str:
    return aws_names.queue(names.PREFIX, topic)


def _undelivered(topology: Topology) -> list[str]:
    return [aws_names.undelivered_queue(names.PREFIX, each.name) for each in topology.topics]


SERIES: Final[Mapping[Measure, Callable[[Topology, Alarm], Sequence[Series]]]] = {
    "dead_letters": _dead_letters,
    "oldest_message": _oldest_message,
    "oldest_brought": _oldest_brought,
    "errors": _errors,
    "sweeps": _sweeps,
}


def description(alarm: Alarm) -> Json:
    """Return what the alarm says. Some advice names the deployment's prefix."""
    services = {"bus": "SQS", "scheduler": "EventBridge Scheduler"}
    advice = alarm.advice.format(platform="aws", prefix=names.PREFIX, **services)
    return names.sub(advice) if "${" in advice else advice


class Widget(NamedTuple):
    """A chart of the dashboard. `metrics` is CloudWatch's own list."""

    title: str
    statistic: str
    metrics: Sequence[Json]


def widgets(topology: Topology) -> Iterator[Widget]:
    """Yield the charts of the dashboard, in their order."""
    functions = [_function(each.name) for each in topology.functions]
    all_queues = [*(_queue(each.name) for each in topology.topics), *_undelivered(topology), *brought_queues(topology)]
    letters = [_queue(ports.DEAD_LETTERS), *_undelivered(topology)]
    yield _widget("Calls, by function", "Lambda", "Invocations", functions, "Sum")
    yield _widget("Failed calls, by function", "Lambda", "Errors", functions, "Sum")
    yield _widget("Duration, 99th percentile (ms)", "Lambda", "Duration", functions, "p99")
    yield _widget("Instances", "Lambda", "ConcurrentExecutions", functions, "Maximum")
    yield _widget("Age of the oldest message (s)", "SQS", "ApproximateAgeOfOldestMessage", all_queues, "Maximum")
    yield _widget("Messages that wait", "SQS", "ApproximateNumberOfMessagesVisible", all_queues, "Maximum")
    yield _widget("Dead letters", "SQS", "NumberOfMessagesReceived", letters, "Sum")
    for chart in CHARTS:
        yield Widget(chart.title, STATISTICS[chart.statistic], [[{"expression": search(chart)}]])


def _widget(
    title: str, service: Literal["Lambda", "SQS"], name: str, measured: Sequence[str], statistic: str
) -> Widget:
    metrics = [Metric(service, name, each) for each in measured]
    lines: list[Json] = [[f"AWS/{service}", name, each.dimension, each.of] for each in metrics]
    return Widget(title, statistic, lines)
