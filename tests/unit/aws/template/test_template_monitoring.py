"""The template's logs, alarms, metrics and dashboard."""

from deploy.aws import template_names as names
from deploy.topology.functions import FUNCTIONS
from deploy.topology.monitoring import ALARMS
from tests.unit.aws.rendered import Stack, inside, objects


def test_each_function_has_its_own_log_which_is_kept_for_days(stack: Stack) -> None:
    for name, properties in stack.of_kind("Serverless::Function").items():
        log = f"{name.removesuffix('Function')}Log"
        assert inside(properties, "LoggingConfig", "LogGroup") == {"Ref": log}
        assert stack.of_kind("Logs::LogGroup")[log]["RetentionInDays"] == {"Ref": "LogDays"}


def test_each_alarm_of_the_topology_is_mailed_and_names_what_exists(stack: Stack) -> None:
    found = stack.of_kind("CloudWatch::Alarm")
    assert found.keys() == {f"{names.logical(each.name)}Alarm" for each in ALARMS}
    own = {f"${{Prefix}}{each.name}" for each in FUNCTIONS}
    own |= {str(inside(each, "QueueName", "Fn::Sub")) for each in stack.of_kind("SQS::Queue").values()}
    for alarm in ALARMS:
        properties = found[f"{names.logical(alarm.name)}Alarm"]
        assert properties["Threshold"] == alarm.bound
        assert properties["AlarmActions"] == {"Fn::If": ["HasEmailAddress", [{"Ref": "AlarmTopic"}], []]}
        metrics = [each for each in objects(properties["Metrics"]) if "MetricStat" in each]
        assert 1 <= len(metrics) <= 10, "CloudWatch takes ten in one alarm"
        for metric in metrics:
            [dimension] = objects(inside(metric, "MetricStat", "Metric", "Dimensions"))
            assert str(inside(dimension, "Value", "Fn::Sub")) in own
        assert "{" not in str(properties["AlarmDescription"]).replace("{'Fn::Sub'", "").replace("${Prefix}", "")
    assert found["SweepAlarm"]["TreatMissingData"] == "breaching", "an alarm too if nothing is written any more"


def test_a_queue_that_gets_nowhere_counts_as_old(stack: Stack) -> None:
    """SQS leaves a message that was received three times out of the age of the oldest one."""
    metrics = objects(stack.of_kind("CloudWatch::Alarm")["OldestMessageAlarm"]["Metrics"])
    assert "IF(FILL(m2, 0) > 0 AND FILL(m3, 0) < 1, 301, 0)" in str(metrics[0]["Expression"])
    measured = [
        (inside(each, "MetricStat", "Metric", "MetricName"), inside(each, "MetricStat", "Stat"))
        for each in metrics[1:4]
    ]
    assert measured == [
        ("ApproximateAgeOfOldestMessage", "Maximum"),
        ("ApproximateNumberOfMessagesNotVisible", "Minimum"),
        ("NumberOfMessagesDeleted", "Sum"),
    ]


def test_what_notify_did_with_deliveries_is_counted_by_destination_and_outcome(stack: Stack) -> None:
    counted = stack.of_kind("Logs::MetricFilter")["DeliveriesMetric"]
    assert counted["LogGroupName"] == {"Ref": "NotifyLog"}
    assert '($.outcome = "deferred")' in str(counted["FilterPattern"])
    assert "finished" not in str(counted["FilterPattern"]), "a copy of a message is no delivery"
    [made] = objects(counted["MetricTransformations"])
    assert made["Dimensions"] == [
        {"Key": "destination", "Value": "$.destination"},
        {"Key": "outcome", "Value": "$.outcome"},
    ]
    assert "DefaultValue" not in made, "CloudWatch rejects one beside dimensions"


def test_values_of_the_log_are_measured_by_destination(stack: Stack) -> None:
    measured = stack.of_kind("Logs::MetricFilter")["OldestDeliveryMetric"]
    assert (
        measured["FilterPattern"] == '{ ($.function = "notify") && ($.oldest_seconds >= 0) && ($.destination = "*") }'
    )
    [made] = objects(measured["MetricTransformations"])
    assert (made["MetricValue"], made["Unit"]) == ("$.oldest_seconds", "Seconds")
    assert made["Dimensions"] == [{"Key": "destination", "Value": "$.destination"}]
