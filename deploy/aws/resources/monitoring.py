"""The monitoring of a stack: alarms, their recipients, metrics that are counted from logs, and a dashboard."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from deploy.aws import template_names as names
from deploy.aws.resources.queues import brought_queues
from deploy.aws.yaml_text import Fields, Node, Tag, ref, sub
from deploy.cloud_access import aws_names
from deploy.topology.functions import SWEEP
from deploy.topology.monitoring import CHARTS, Alarm, Chart, LogMetric, Measure, Statistic
from deploy.topology.topology import Topology
from shared import jsontext, ports

NAMESPACE: Final = "Hookchain"
_UNITS: Final = {"": "Count", "ms": "Milliseconds", "s": "Seconds"}
STATISTICS: Final[Mapping[Statistic, str]] = {"sum": "Sum", "p99": "p99", "maximum": "Maximum"}


def log_metrics(topology: Topology) -> dict[str, Node]:
    return {f"{names.logical(each.name)}Metric": _metric_filter(each) for each in topology.log_metrics}


def _metric_filter(metric: LogMetric) -> Node:
    conditions = [f'($.function = "{metric.function}")']
    if metric.outcomes:
        conditions.append("(" + " || ".join(f'($.outcome = "{each}")' for each in metric.outcomes) + ")")
    if metric.value:
        conditions.append(f"($.{metric.value} >= 0)")
    conditions += [f'($.{each} = "*")' for each in metric.by if each != "outcome"]
    return {
        "Type": "AWS::Logs::MetricFilter",
        "Properties": {
            "FilterName": names.prefixed(metric.name),
            "LogGroupName": ref(names.log(metric.function)),
            "FilterPattern": f"{{ {' && '.join(conditions)} }}",
            "MetricTransformations": [
                {
                    "MetricNamespace": NAMESPACE,
                    "MetricName": names.prefixed(metric.name),
                    "MetricValue": f"$.{metric.value}" if metric.value else "1",
                    "Unit": _UNITS[metric.unit],
                    "Dimensions": [{"Key": each, "Value": f"$.{each}"} for each in metric.by],
                }
            ],
        },
    }


def search(chart: Chart) -> str:
    """Return the expression for the chart's series, which finds each destination that there is.

    https://docs.aws.aws_names.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html
    """
    some = chart.outcomes != chart.metric.outcomes
    outcomes = " OR ".join(f'outcome="{each}"' for each in chart.outcomes)
    selected = f'MetricName="{names.PREFIX}{chart.metric.name}"' + (f" ({outcomes})" if some else "")
    return f"SEARCH('{{{','.join([NAMESPACE, *chart.metric.by])}}} {selected}', '{STATISTICS[chart.statistic]}', 60)"


HAS_ADDRESS: Final = "HasEmailAddress"
HAS_ALARMS: Final = "HasAlarms"
QUEUES_AN_ALARM: Final = 3
"""An alarm takes ten metrics, of which a queue needs three."""
WIDTH: Final = 12
HEIGHT: Final = 6


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
    some = [queues[first : first + QUEUES_AN_ALARM] for first in range(0, len(queues), QUEUES_AN_ALARM)]
    return [_oldest_of(each, alarm) for each in some]


def _oldest_of(queues: Sequence[str], alarm: Alarm) -> Series:
    """Take the age of the oldest message. SQS leaves out messages that were received three times, so a queue of which
    some are worked on and none was done for as long as the bound counts as older than it.

    https://docs.aws.aws_names.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    """
    metrics: list[Metric] = []
    terms: list[str] = []
    for queue in queues:
        metrics.append(Metric("SQS", "ApproximateAgeOfOldestMessage", queue, "Maximum"))
        metrics.append(Metric("SQS", "ApproximateNumberOfMessagesNotVisible", queue, "Minimum"))
        metrics.append(Metric("SQS", "NumberOfMessagesDeleted", queue))
        age, busy, done = (f"FILL(m{len(metrics) - 2 + number}, 0)" for number in range(3))
        terms += [age, f"IF({busy} > 0 AND {done} < 1, {alarm.bound + 1}, 0)"]
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


def monitoring(topology: Topology) -> dict[str, Node]:
    return {
        "# Alarms, which are mailed if EmailAddress is set": None,
        "AlarmTopic": {
            "Type": "AWS::SNS::Topic",
            "Condition": HAS_ADDRESS,
            "Properties": {
                "TopicName": names.prefixed("alarms"),
                "Subscription": [{"Protocol": "email", "Endpoint": ref("EmailAddress")}],
                "Tags": names.tags(),
            },
        },
        **{
            f"{names.logical(each.name)}Alarm": _alarm(each, series)
            for alarm in topology.alarms
            for each, series in numbered_alarms(topology, alarm)
        },
        **log_metrics(topology),
        "Dashboard": {
            "Type": "AWS::CloudWatch::Dashboard",
            "Properties": {"DashboardName": names.prefixed("overview"), "DashboardBody": sub(_body(topology))},
        },
    }


def numbered_alarms(topology: Topology, alarm: Alarm) -> Iterator[tuple[Alarm, Series]]:
    """Yield the alarm for each of its series; from the second one on, its name has a number."""
    for number, series in enumerate(SERIES[alarm.measure](topology, alarm), 1):
        yield alarm if number == 1 else replace(alarm, name=f"{alarm.name}-{number}"), series


def _alarm(alarm: Alarm, series: Series) -> Node:
    period = series.period_seconds or alarm.window_seconds
    services = {"bus": "SQS", "scheduler": "EventBridge Scheduler"}
    advice = alarm.advice.format(platform="aws", prefix=names.PREFIX, **services)
    metrics = [_query(number, each, period) for number, each in enumerate(series.metrics, 1)]
    actions: Node = Tag("If", [HAS_ADDRESS, [ref("AlarmTopic")], []])
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Condition": HAS_ALARMS,
        "Properties": {
            "AlarmName": names.prefixed(alarm.name),
            "AlarmDescription": sub(advice) if "${" in advice else advice,
            "Metrics": [{"Id": "all", "Label": alarm.why, "Expression": series.expression}, *metrics],
            "ComparisonOperator": "LessThanThreshold" if alarm.is_least else "GreaterThanThreshold",
            "Threshold": alarm.bound,
            "EvaluationPeriods": 1 + alarm.holds_seconds // period,
            "TreatMissingData": "breaching" if alarm.is_least else "notBreaching",
            "AlarmActions": actions,
            "OKActions": actions,
            "Tags": names.tags(),
        },
    }


def _query(number: int, metric: Metric, period_seconds: int) -> Fields:
    dimension: Fields = {"Name": metric.dimension, "Value": sub(metric.of)}
    return {
        "Id": f"m{number}",
        "ReturnData": False,
        "MetricStat": {
            "Metric": {
                "Namespace": f"AWS/{metric.service}",
                "MetricName": metric.name,
                "Dimensions": [dimension],
            },
            "Period": period_seconds,
            "Stat": metric.statistic,
        },
    }


def _body(topology: Topology) -> str:
    """Return the dashboard's JSON, one metric a line."""
    functions = [_function(each.name) for each in topology.functions]
    all_queues = [*(_queue(each.name) for each in topology.topics), *_undelivered(topology), *brought_queues(topology)]
    letters = [_queue(ports.DEAD_LETTERS), *_undelivered(topology)]
    widgets: list[tuple[str, str, list[Metric]]] = [
        ("Calls, by function", "Sum", [Metric("Lambda", "Invocations", each) for each in functions]),
        ("Failed calls, by function", "Sum", [Metric("Lambda", "Errors", each) for each in functions]),
        ("Duration, 99th percentile (ms)", "p99", [Metric("Lambda", "Duration", each) for each in functions]),
        ("Instances", "Maximum", [Metric("Lambda", "ConcurrentExecutions", each) for each in functions]),
        (
            "Age of the oldest message (s)",
            "Maximum",
            [Metric("SQS", "ApproximateAgeOfOldestMessage", each) for each in all_queues],
        ),
        (
            "Messages that wait",
            "Maximum",
            [Metric("SQS", "ApproximateNumberOfMessagesVisible", each) for each in all_queues],
        ),
        ("Dead letters", "Sum", [Metric("SQS", "NumberOfMessagesReceived", each) for each in letters]),
    ]
    drawn: list[tuple[str, str, list[jsontext.Json]]] = []
    drawn += [(title, statistic, [_series(each) for each in metrics]) for title, statistic, metrics in widgets]
    drawn += [(chart.title, STATISTICS[chart.statistic], [[{"expression": search(chart)}]]) for chart in CHARTS]
    texts = [_widget(place, *each) for place, each in enumerate(drawn)]
    return '{"widgets": [\n' + ",\n".join(texts) + "\n]}"


def _series(metric: Metric) -> jsontext.Json:
    return [f"AWS/{metric.service}", metric.name, metric.dimension, metric.of]


def _widget(place: int, title: str, statistic: str, lines: Sequence[jsontext.Json]) -> str:
    x, y = place % 2 * WIDTH, place // 2 * HEIGHT
    texts = ",\n".join(f"    {json.dumps(line)}" for line in lines)
    return (
        f'{{"type": "metric", "x": {x}, "y": {y}, "width": {WIDTH}, "height": {HEIGHT}, "properties": {{\n'
        f'  "title": {json.dumps(title)},\n'
        f'  "region": "${{AWS::Region}}", "stat": "{statistic}", "period": 60,\n'
        f'  "metrics": [\n{texts}]}}}}'
    )
