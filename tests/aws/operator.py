"""A stack in the local AWS, as an operator's commands see it."""

import io
import time
import uuid
import zipfile
from dataclasses import dataclass
from typing import Final

from deploy.cli.main import main
from deploy.cloud_access import aws_names
from deploy.cloud_access.aws import AwsApi
from deploy.cloud_access.aws_names import StackTarget, checked_target
from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.tables import TABLES, create_request
from shared.jsontext import JsonObject, to_json
from shared.ports import TOPIC_NAMES
from tests.aws.local_aws import boto_client
from tests.aws.stand_in import StandIn

FUNCTIONS: Final = ("receive", "transform", "notify")


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that no other test has. `environ` leads boto3 and the commands to it."""

    name: str
    place: AwsPlace
    stand_in: StandIn

    @property
    def prefix(self) -> str:
        return f"{self.name}-"

    @property
    def target(self) -> StackTarget:
        return checked_target(self.name, self.place.region)

    @property
    def environ(self) -> dict[str, str]:
        keys = self.place.credentials()
        return {
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
            "AWS_CONFIG_FILE": "/nonexistent/config",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": str(self.place.endpoint),
            "AWS_ENDPOINT_URL_CLOUDFORMATION": self.stand_in.url,
            "AWS_ENDPOINT_URL_SESV2": self.stand_in.url,
        }

    def api(self) -> AwsApi:
        return AwsApi(self.place.region, self.environ)

    def run(self, *arguments: str) -> int:
        """Type `hookchain … --platform aws`."""
        return main([*arguments, "--platform", "aws", "--stack", self.name, "--region", self.place.region])

    @property
    def where(self) -> str:
        return f"--platform aws --stack {self.name} --region {self.place.region}"

    def call(self, service: str, operation: str, **arguments: object) -> JsonObject:
        found: JsonObject = getattr(boto_client(self.place, service), operation)(**arguments)
        return found

    def describe(self, status: str = "CREATE_COMPLETE", url: str | None = "https://x.lambda-url.test/") -> None:
        """Have CloudFormation describe the stack."""
        self.stand_in.stacks[self.name] = (status, {aws_names.URL_OUTPUT: url} if url else {})

    def add_functions(self) -> None:
        role = f"{self.prefix}role"
        self.call("iam", "create_role", RoleName=role, AssumeRolePolicyDocument="{}")
        with io.BytesIO() as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("main.py", "def handler(event, context): ...")
            code = file.getvalue()
        for function in FUNCTIONS:
            self.call(
                "lambda",
                "create_function",
                FunctionName=aws_names.function(self.prefix, function),
                Runtime="python3.13",
                Role=f"arn:aws:iam::123456789012:role/{role}",
                Handler="main.handler",
                Code={"ZipFile": code},
            )

    def add_queues(self) -> None:
        for topic in TOPIC_NAMES:
            for name in (aws_names.queue(self.prefix, topic), aws_names.undelivered_queue(self.prefix, topic)):
                self.call("sqs", "create_queue", QueueName=name)

    def send(self, topic: str, count: int) -> None:
        found = self.call("sqs", "get_queue_url", QueueName=aws_names.queue(self.prefix, topic))
        for _ in range(count):
            self.call("sqs", "send_message", QueueUrl=found["QueueUrl"], MessageBody="x")

    def add_tables(self, without: str = "") -> None:
        for table in TABLES:
            if table.name != without:
                self.call("dynamodb", "create_table", **create_request(table, self.prefix))

    def add_logs(self) -> None:
        for function in FUNCTIONS:
            group = aws_names.log_group(self.prefix, function)
            self.call("logs", "create_log_group", logGroupName=group)
            self.call("logs", "create_log_stream", logGroupName=group, logStreamName="one")

    def log(self, function: str, line: JsonObject | str, ago: float = 1.0) -> None:
        text = line if isinstance(line, str) else to_json(line)
        event = {"timestamp": int((time.time() - ago) * 1000), "message": f"{text}\n"}
        group = aws_names.log_group(self.prefix, function)
        self.call("logs", "put_log_events", logGroupName=group, logStreamName="one", logEvents=[event])


def new_stack(place: AwsPlace, stand_in: StandIn) -> Stack:
    return Stack(f"s{uuid.uuid4().hex[:10]}", place, stand_in)
