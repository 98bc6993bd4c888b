"""The checks of AWS: boto3, the credentials, the region, the stack and its parts."""

import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

from deploy.aws import deployment, reserved_instances, template
from deploy.cloud_access import aws, aws_names
from deploy.cloud_access.gcp import ApiError, exchange
from deploy.config.checkout import ROOT
from deploy.terminal.command_line import how_to_install
from deploy.terminal.finding import Finding, ok, problem, unknown
from deploy.topology.topology import Topology
from shared import jsontext, ports

ANSWER_SECONDS: Final = 15.0
"""The time to wait for receive's response. A function that is not running yet needs some seconds to start."""
DEPLOY: Final = "make deploy-aws"
NOT_DEPLOYED: Final = f"not deployed yet: {DEPLOY}"
_REPAIRS: Final = {
    "ROLLBACK_COMPLETE": "its first deployment failed: delete it (make destroy-aws), then make deploy-aws",
    "ROLLBACK_FAILED": "delete it (make destroy-aws), then make deploy-aws",
    "CREATE_FAILED": "delete it (make destroy-aws), then make deploy-aws",
    "DELETE_FAILED": "its events in CloudFormation show what cannot be deleted",
    "UPDATE_ROLLBACK_FAILED": "aws cloudformation continue-update-rollback --stack-name {stack} --region {region}",
}
"""By the status of a stack that cannot be deployed: what to do."""


def has_boto3() -> bool:
    return importlib.util.find_spec("boto3") is not None


def boto3() -> Finding:
    if not has_boto3():
        return problem("not installed", how_to_install(ROOT, "boto3"))
    return ok(f"version {importlib.metadata.version('boto3')}")


def credentials(api: aws.AwsApi) -> Finding:
    try:
        found = api.call("sts", "get_caller_identity")
    except aws.NoCredentials as fault:
        message, _, todo = str(fault).partition(". ")
        return problem(message, todo)
    return ok(f"{found.get('Arn')}")


def region(api: aws.AwsApi) -> Finding:
    if fault := aws.region_fault(api.region):
        return problem(fault, "aws account list-regions shows yours")
    return ok(api.region)


def concurrency(deployed: aws.DeployedStack, topology: Topology) -> Finding:
    """Check that the account's limit of concurrent instances allows those that the deployment reserves for its
    functions. Raises AwsFault."""
    limit = reserved_instances.read_limit(deployed.api)
    stack = deployed.description()
    defaults = template.parameter_defaults(topology, deployed.target.prefix)
    values = deployment.parameter_values(defaults, stack, {})
    found = reserved_instances.reservation(topology, values, deployment.deployed_parameters(stack), limit)
    return problem(found.line, found.todo) if found.todo else ok(found.line)


class StackChecks:
    """The checks of a stack. Each passes if the stack is not deployed yet. Each raises AwsFault."""

    def __init__(self, deployed: aws.DeployedStack) -> None:
        self._deployed = deployed

    def stack(self) -> Finding:
        target = self._deployed.target
        found = self._description
        if found is None:
            return ok(f"{target.stack} {NOT_DEPLOYED}")
        status = str(found.get("StackStatus"))
        if status in _REPAIRS:
            todo = _REPAIRS[status].format(stack=target.stack, region=target.region)
            return problem(f"{target.stack} is in {status}", todo)
        if status.endswith("_IN_PROGRESS"):
            return unknown(f"{target.stack} is being changed ({status})", "try again when it is done")
        return ok(f"{target.stack} ({status})")

    def receive(self) -> Finding:
        found = self._description
        if found is None:
            return ok(NOT_DEPLOYED)
        url = aws.outputs(found).get(aws_names.URL_OUTPUT)
        if url is None:
            return problem(f"the stack has no output {aws_names.URL_OUTPUT}", DEPLOY)
        return receive_finding(url, status_of(url))

    def queues(self) -> Finding:
        prefix = self._deployed.target.prefix
        needed = []
        for topic in ports.TOPIC_NAMES:
            needed += [aws_names.queue(prefix, topic), aws_names.undelivered_queue(prefix, topic)]
        api = self._deployed.api
        return self._all_exist("queue", needed, lambda name: api.find("sqs", "get_queue_url", QueueName=name))

    def tables(self) -> Finding:
        prefix = self._deployed.target.prefix
        needed = [aws_names.table(prefix, name) for name in aws_names.TABLES]
        api = self._deployed.api
        return self._all_exist("table", needed, lambda name: api.find("dynamodb", "describe_table", TableName=name))

    def _all_exist(
        self, word: str, needed: Sequence[str], describe: Callable[[str], jsontext.JsonObject | None]
    ) -> Finding:
        if self._description is None:
            return ok(NOT_DEPLOYED)
        missing = [name for name in needed if describe(name) is None]
        if missing:
            return problem(f"there is no {word} {', '.join(missing)}", DEPLOY)
        return ok(f"{len(needed)} {word}s")

    @cached_property
    def _description(self) -> jsontext.JsonObject | None:
        return self._deployed.description()


def status_of(url: str) -> int | None:
    """Return the status of a GET; None if nothing answers."""
    try:
        exchange("GET", url, {}, seconds=ANSWER_SECONDS)
    except ApiError as fault:
        return fault.status or None
    return 200


def receive_finding(url: str, status: int | None) -> Finding:
    """Return the finding for receive's status. receive itself answers 404 to a path without a source's name.

    A 403 comes from Lambda, which then has not called the function.
    """
    if status is None:
        return unknown(f"{url} does not answer", "check your connection")
    if status == 403:
        need = "lambda:InvokeFunctionUrl and lambda:InvokeFunction"
        return problem(f"{url} answers 403: everyone needs the permissions {need}", DEPLOY)
    if status >= 500:
        return problem(f"{url} answers {status}", "hookchain logs --platform aws --function receive shows why")
    return ok(url)
