"""The metrics that CloudWatch takes from log lines, and their charts on the dashboard."""

from collections.abc import Mapping
from typing import Final

from deploy.aws import template_names as names
from deploy.aws.yaml_text import Node, ref
from deploy.topology.metrics import Chart, LogMetric, Statistic
from deploy.topology.topology import Topology

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

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html
    """
    some = chart.outcomes != chart.metric.outcomes
    outcomes = " OR ".join(f'outcome="{each}"' for each in chart.outcomes)
    selected = f'MetricName="{names.PREFIX}{chart.metric.name}"' + (f" ({outcomes})" if some else "")
    return f"SEARCH('{{{','.join([NAMESPACE, *chart.metric.by])}}} {selected}', '{STATISTICS[chart.statistic]}', 60)"
