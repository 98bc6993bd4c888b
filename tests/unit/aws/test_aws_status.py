"""`hookchain status --platform aws`: functions, queues, and what could not be read."""

import time

from deploy.cloud_access import aws_names
from deploy.cloud_access.aws import DeployedStack
from deploy.history.aws import read_backlogs, read_versions
from tests.aws.operator import Stack


def test_a_function_that_does_not_read_its_queue_is_in_trouble(stack: Stack) -> None:
    stack.add_functions()
    stack.add_queues()
    queue = aws_names.queue(stack.prefix, "events")
    arn = f"arn:aws:sqs:{stack.place.region}:123456789012:{queue}"
    function = aws_names.function(stack.prefix, "transform")
    stack.call("lambda", "create_event_source_mapping", EventSourceArn=arn, FunctionName=function, Enabled=False)
    troubles = {each.name: each.trouble for each in read_versions(DeployedStack(stack.target, stack.api()))}
    assert troubles["transform"] == f"does not read {queue}: its event source mapping is off"
    assert troubles["notify"] == ""


def test_a_backlog_counts_the_messages_that_a_function_has_and_tells_their_age(stack: Stack) -> None:
    stack.add_queues()
    stack.send("events", 3)
    queue = aws_names.queue(stack.prefix, "events")
    url = stack.call("sqs", "get_queue_url", QueueName=queue)["QueueUrl"]
    stack.call("sqs", "receive_message", QueueUrl=url, MaxNumberOfMessages=1, VisibilityTimeout=60)
    metric = {
        "MetricName": "ApproximateAgeOfOldestMessage",
        "Dimensions": [{"Name": "QueueName", "Value": queue}],
        "Timestamp": time.time() - 90,
        "Value": 400.0,
    }
    stack.call("cloudwatch", "put_metric_data", Namespace="AWS/SQS", MetricData=[metric])
    backlogs, notes = read_backlogs(DeployedStack(stack.target, stack.api()), time.time())
    assert notes == []
    by_name = {each.subscription: (each.count, each.oldest_seconds) for each in backlogs}
    assert by_name[queue] == (3, 400.0)
    assert by_name[aws_names.undelivered_queue(stack.prefix, "events")] == (0, None)
    assert len(by_name) == 6


def test_a_backlog_is_told_of_the_queue_that_brings_messages_to_a_source(stack: Stack) -> None:
    stack.add_functions()
    stack.add_queues()
    arn = f"arn:aws:sqs:{stack.place.region}:123456789012:jobs"
    url = stack.call("sqs", "create_queue", QueueName="jobs")["QueueUrl"]
    stack.call("sqs", "send_message", QueueUrl=url, MessageBody="{}")
    function = aws_names.function(stack.prefix, "receive")
    stack.call("lambda", "create_event_source_mapping", EventSourceArn=arn, FunctionName=function, Enabled=False)
    backlogs, notes = read_backlogs(DeployedStack(stack.target, stack.api()), time.time())
    assert (backlogs[-1].subscription, backlogs[-1].count, notes) == ("jobs", 1, [])
