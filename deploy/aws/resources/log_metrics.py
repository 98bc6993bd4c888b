"""The metrics that CloudWatch counts from log lines, and their charts on the dashboard."""

from typing import Final

from deploy.aws import names
from deploy.aws.yaml_text import Node, ref
from deploy.topology.metrics import Chart, LogMetric
from deploy.topology.topology import Topology

NAMESPACE: Final = "Hookchain"


def log_metrics(topology: Topology) -> dict[str, Node]:
    return {f"{names.logical(each.name)}Metric": _metric_filter(each) for each in topology.log_metrics}


def _metric_filter(metric: LogMetric) -> Node:
    outcomes = " || ".join(f'($.outcome = "{each}")' for each in metric.outcomes)
    return {
        "Type": "AWS::Logs::MetricFilter",
        "Properties": {
            "FilterName": names.prefixed(metric.name),
            "LogGroupName": ref(names.log(metric.function)),
            "FilterPattern": f'{{ ($.function = "{metric.function}") && ({outcomes}) }}',
            "MetricTransformations": [
                {
                    "MetricNamespace": NAMESPACE,
                    "MetricName": names.prefixed(metric.name),
                    "MetricValue": "1",
                    "Unit": "Count",
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
    return f"SEARCH('{{{','.join([NAMESPACE, *chart.metric.by])}}} {selected}', 'Sum', 60)"
