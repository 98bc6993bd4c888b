"""Call AWS with the operator's own credentials, and ask about a deployed stack.

The commands do this with boto3. The functions do not need it (see shared/cloud/aws/client.py).
"""

import datetime
import importlib.util
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.cloud_access.aws_names import URL_OUTPUT, StackTarget, bucket, queue
from deploy.terminal.command_line import CommandError
from shared.cloud.aws.client import AwsPlace
from shared.did_you_mean import did_you_mean
from shared.errors import Temporary
from shared.jsontext import Json, JsonObject, mapping_at, objects_at
from shared.signatures.aws_v4 import Credentials

if TYPE_CHECKING:
    import boto3


CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 15
ATTEMPTS: Final = 3
"""The most tries of a call, if its error can be temporary."""
SIGN_IN: Final = "Run `aws configure sso` or `aws configure`, or set AWS_PROFILE."
_EXPIRED: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "RequestExpired",
        "UnrecognizedClientException",
    }
)
_NO_CREDENTIALS: Final = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    "SSOError",
    "TokenRetrievalError",
    "LoginError",
)
"""The names of botocore's errors for missing or unusable credentials. They are compared with an error's base classes
too."""
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_MISSING: Final = frozenset(
    {
        "404",
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchBucket",
        "NotFound",
        "NotFoundException",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
    }
)


class AwsFault(CommandError):
    """AWS rejected a call or did not answer. `code` is AWS's name of the error, or empty without an answer."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code

    @property
    def is_denied(self) -> bool:
        return self.code in _DENIED

    @property
    def is_missing(self) -> bool:
        """Return True if there is no resource of the name in the call."""
        return self.code in _MISSING


class NoCredentials(AwsFault):
    """There are no credentials, or they are no longer valid. The text says what to do."""


class AwsApi:
    """The services in a region, for several threads at once.

    `environ` can name a local AWS, with AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_<SERVICE>.
    """

    def __init__(self, region: str, environ: Mapping[str, str]) -> None:
        # Imported here, because it is slow to import, and installed only with the AWS extra.
        import boto3

        self._make_session = boto3.Session
        self.region = region
        self._environ = environ
        self._lock = threading.Lock()
        self._session: boto3.Session | None = None

    def call(self, service: str, operation: str, **arguments: Json) -> JsonObject:
        """Return the answer of an operation, such as `get_queue_url` (boto3's name). Times are in Unix seconds.

        Raises AwsFault.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: object = getattr(self._client(service), operation)(**arguments)
        except ClientError as error:
            raise _fault(service, error.response.get("Error", {})) from error
        except BotoCoreError as error:
            raise self._no_answer(service, error) from error
        return mapping_at(_as_json(answer))

    def find(self, service: str, operation: str, **arguments: Json) -> JsonObject | None:
        """Return the answer of `call`; None if the resource does not exist. Raises AwsFault."""
        try:
            return self.call(service, operation, **arguments)
        except AwsFault as fault:
            if fault.is_missing:
                return None
            raise

    def pages(self, service: str, operation: str, token: str, **arguments: Json) -> Iterator[JsonObject]:
        """Yield the pages of a list. `token` is the name of both the field and the argument for the next page.

        Raises AwsFault.
        """
        page = self.call(service, operation, **arguments)
        yield page
        while page.get(token):
            page = self.call(service, operation, **{**arguments, token: page[token]})
            yield page

    def place(self) -> AwsPlace:
        """Return the region and these credentials for the functions' own clients, such as those of the ledger."""
        return AwsPlace(self.region, self._credentials, self._environ.get("AWS_ENDPOINT_URL") or None)

    def _client(self, service: str) -> object:
        """Return a new client of the service. Raises AwsFault for a profile that does not exist."""
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        )
        variable = f"AWS_ENDPOINT_URL_{service.upper()}"
        endpoint = self._environ.get(variable) or self._environ.get("AWS_ENDPOINT_URL") or None
        session = self._open_session()
        with self._lock:  # threads must not share a session, but they may share its clients
            client: object = session.client(service, region_name=self.region, endpoint_url=endpoint, config=config)
        return client

    def _open_session(self) -> "boto3.Session":
        """Return the session, which is opened at the first call. Raises AwsFault."""
        from botocore.exceptions import BotoCoreError

        with self._lock:
            if self._session is None:
                try:
                    self._session = self._make_session(region_name=self.region)
                except BotoCoreError as error:
                    raise self._no_answer("", error) from error
            return self._session

    def _credentials(self) -> Credentials:
        """Return the current credentials, which boto3 renews before they expire.

        Raises Temporary, which is the error that the functions' clients expect.
        """
        from botocore.exceptions import BotoCoreError

        try:
            found = self._open_session().get_credentials()
            keys = found.get_frozen_credentials() if found else None
        except (BotoCoreError, NoCredentials) as error:
            raise Temporary("credentials_unavailable", f"{error}. {SIGN_IN}") from error
        if keys is None:
            raise Temporary("credentials_unavailable", f"no AWS credentials were found. {SIGN_IN}")
        return Credentials(keys.access_key, keys.secret_key, keys.token or "")

    def _no_answer(self, service: str, error: Exception) -> AwsFault:
        """Return the fault of a call that AWS did not answer, or that could not be signed."""
        if any(kind.__name__ in _NO_CREDENTIALS for kind in type(error).__mro__):
            return NoCredentials("", f"no AWS credentials can be used: {str(error).rstrip('.')}. {SIGN_IN}")
        return AwsFault("", f"no answer from {service} in {self.region}: {error}")


def configured_region() -> str | None:
    """Return the region of the profile in AWS_PROFILE, or of the default profile. Raises AwsFault."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        found: str | None = boto3.Session().region_name
    except BotoCoreError as error:
        raise NoCredentials("", f"{str(error).rstrip('.')}. {SIGN_IN}") from error
    return found


def region_fault(region: str) -> str | None:
    """Return a fault if Lambda does not run in the region, by the list in boto3. Without boto3, nothing is checked."""
    if importlib.util.find_spec("boto3") is None:
        return None
    import boto3

    session = boto3.Session()
    known: set[str] = set()
    for partition in session.get_available_partitions():
        known.update(session.get_available_regions("lambda", partition))
    return None if region in known else f"Lambda has no region {region!r}{did_you_mean(region, known)}"


def _fault(service: str, error: Mapping[str, object]) -> AwsFault:
    code = str(error.get("Code", ""))
    message = str(error.get("Message", "")).split("\n")[0][:300]
    if code in _EXPIRED:
        return NoCredentials(code, f"AWS rejects the credentials: {message.rstrip('.')} ({code}). {SIGN_IN}")
    return AwsFault(code, f"{service}: {message or 'rejected'} ({code})")


def _as_json(value: object) -> Json:
    """Return a value of boto3's as JSON: a time as Unix seconds, and a value of any other unknown type as text."""
    match value:
        case dict():
            return {str(name): _as_json(each) for name, each in value.items()}
        case list():
            return [_as_json(each) for each in value]
        case datetime.datetime():
            return value.timestamp()
        case str() | int() | float() | bool() | None:
            return value
        case _:
            return str(value)


@dataclass(frozen=True, slots=True)
class DeployedStack:
    """A CloudFormation stack, which may not be deployed yet, and the API to ask AWS about it."""

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
        return next(iter(objects_at(found, "Stacks")), None)

    def receive_url(self) -> str:
        """Return receive's URL. With a slash and a source's name, it is the source's. Raises CommandError."""
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
        """Return the name of the bucket for large bodies, which contains the account's number. Raises AwsFault."""
        account = str(self.api.call("sts", "get_caller_identity").get("Account"))
        return bucket(self.target.prefix, account, self.target.region)

    def queue_url(self, topic: str) -> str:
        """Return the URL of the queue of a topic. Raises AwsFault."""
        return str(self.api.call("sqs", "get_queue_url", QueueName=queue(self.target.prefix, topic)).get("QueueUrl"))


def outputs(stack: JsonObject) -> dict[str, str]:
    """Return the outputs of a stack's description, by name."""
    return {str(each.get("OutputKey")): str(each.get("OutputValue")) for each in objects_at(stack, "Outputs")}
