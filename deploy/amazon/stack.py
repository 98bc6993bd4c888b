"""A stack on AWS, for the commands that read its state."""

from dataclasses import dataclass

from deploy.amazon.api import AwsApi, AwsFault
from deploy.amazon.names import URL_OUTPUT, bucket, queue
from deploy.amazon.target import StackTarget
from deploy.terminal.command_line import CommandError
from shared.jsontext import Json, JsonObject


@dataclass(frozen=True, slots=True)
class DeployedStack:
    target: StackTarget
    api: AwsApi

    def description(self) -> JsonObject | None:
        """Return the stack as CloudFormation describes it; None if there is none. Raises AwsFault."""
        try:
            found = self.api.call("cloudformation", "describe_stacks", StackName=self.target.stack)
        except AwsFault as fault:
            if fault.code == "ValidationError" and "does not exist" in str(fault):
                return None
            raise
        stacks = found.get("Stacks")
        first = stacks[0] if isinstance(stacks, list) and stacks else None
        return first if isinstance(first, dict) else None

    def receive_url(self) -> str:
        """Return the URL that a source's name is added to, after a slash. Raises CommandError."""
        return self._url(URL_OUTPUT)

    def function_url(self, function: str) -> str:
        """Return the URL of a public function. Raises CommandError."""
        return self._url(f"{function.capitalize()}Url")

    def _url(self, output: str) -> str:
        found = self.description()
        where = f"stack {self.target.stack} in {self.target.region}"
        if found is None:
            raise CommandError(f"{where} is not deployed: make deploy-aws")
        url = outputs(found).get(output)
        if url is None:
            raise CommandError(f"{where} has no output {output} ({found.get('StackStatus')}): make deploy-aws")
        return url.rstrip("/")

    def bucket(self) -> str:
        """Return the name of the bucket of large bodies, which holds the account's number. Raises AwsFault."""
        account = str(self.api.call("sts", "get_caller_identity").get("Account"))
        return bucket(self.target.prefix, account, self.target.region)

    def queue_url(self, topic: str) -> str:
        """Raises AwsFault."""
        return str(self.api.call("sqs", "get_queue_url", QueueName=queue(self.target.prefix, topic)).get("QueueUrl"))


def outputs(stack: JsonObject) -> dict[str, str]:
    return {str(each.get("OutputKey")): str(each.get("OutputValue")) for each in objects(stack.get("Outputs"))}


def objects(listed: Json) -> list[JsonObject]:
    """Return the objects of a list in an answer; none for another value."""
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
