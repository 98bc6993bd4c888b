"""The state of a stack on AWS, read with the operator's own credentials: where it is, and what is beyond its reach."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Final

from deploy.cloud_access.aws import AwsFault, DeployedStack
from deploy.history.aws_ports import AwsPorts
from deploy.history.state import State, open_cloud_state
from shared import ports

BEYOND_REACH: Final = (
    "messages in SQS: an event that is being processed is stored again. SQS keeps a message for 14 days at most: run "
    "the command again then",
    "copies of requests that developers got with `hookchain listen`, which wait for 7 days at most",
    "DynamoDB's point-in-time recovery: it can restore the tables of the last 35 days",
    "backups and exports of the tables and the bucket, if you made them",
)


def aws_ports(deployed: DeployedStack) -> AwsPorts:
    return AwsPorts(deployed.api.place(), deployed.target.prefix, deployed.bucket, lambda: _queue_urls(deployed))


def open_aws_state(deployed: DeployedStack, environ: Mapping[str, str]) -> AbstractContextManager[State]:
    """Open the state of the stack. Raises AwsFault."""
    return open_cloud_state(aws_ports(deployed), environ, BEYOND_REACH)


def _queue_urls(deployed: DeployedStack) -> dict[str, str]:
    """Return the URL of each topic's queue. Only some stacks have the queue of recovered events. Raises AwsFault."""
    urls = {topic: deployed.queue_url(topic) for topic in ports.TOPIC_NAMES}
    with suppress(AwsFault):
        urls[ports.RECOVERED] = deployed.queue_url(ports.RECOVERED)
    return urls
