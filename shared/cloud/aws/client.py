"""One AWS service, called over kept-alive connections on the event loop, each request signed."""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from shared.jsontext import Json, from_json, value_at
from shared.outgoing.http_client import MAX_ANSWER_BYTES, Answer, HttpClient
from shared.signatures.aws_v4 import Credentials, RequestLine, Scope, authorization, signed_headers, timestamp

TEMPORARY_ERRORS: Final = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "KmsThrottled",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
"""The errors that AWS answers with a 400 although they are temporary, so that the status does not show it.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html"""


class AwsPlace(NamedTuple):
    """The region and the identity of a caller.

    credentials  called for each request, because a role's keys change
    endpoint     the URL of a local AWS; None for AWS itself
    """

    region: str
    credentials: Callable[[], Credentials]
    endpoint: str | None = None


class AwsClient:
    """One service in one region.

    service   the name for which requests are signed
    protocol  the version of the JSON protocol (`1.0`, `1.1`), for services that `action` calls
    host      the first part of the host name, if it is not `service`: `<host>.<region>.amazonaws.com`
    """

    def __init__(
        self,
        place: AwsPlace,
        service: str,
        *,
        protocol: str = "1.0",
        host: str = "",
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.endpoint = place.endpoint or f"https://{host or service}.{place.region}.amazonaws.com"
        self._client = HttpClient(self.endpoint, max_answer_bytes)
        self._host = urlsplit(self.endpoint).netloc
        self._scope = Scope(place.region, service)
        self._credentials = place.credentials
        self._content_type = f"application/x-amz-json-{protocol}"
        self._now = now

    async def action(self, target: str, body: bytes, timeout_seconds: float, *, may_repeat: bool = False) -> Answer:
        """Call an action, such as `AmazonSQS.SendMessageBatch`, with its JSON. Raises OSError as HttpClient does.

        `may_repeat`: calling the action twice has the same effect as calling it once.
        """
        headers = self._action_headers(target, body)
        return await self._client.call("POST", "/", headers, body, timeout_seconds, may_repeat=may_repeat)

    def _action_headers(self, target: str, body: bytes) -> dict[str, str]:
        """Return the headers, signed as `signed_headers` signs them, in half its time.

        That is possible because all requests of actions have the same method, path and headers, so that nothing has to
        be sorted or encoded.
        """
        credentials = self._credentials()
        moment = timestamp(int(self._now()))
        headers = {"Content-Type": self._content_type, "X-Amz-Target": target, "X-Amz-Date": moment}
        names = "content-type;host;x-amz-date;x-amz-target"
        token_line = ""
        if token := credentials.session_token:
            headers["X-Amz-Security-Token"] = token
            names = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
            token_line = f"x-amz-security-token:{token}\n"
        canonical_request = (
            f"POST\n/\n\ncontent-type:{self._content_type}\nhost:{self._host}\nx-amz-date:{moment}\n{token_line}"
            f"x-amz-target:{target}\n\n{names}\n{hashlib.sha256(body).hexdigest()}"
        )
        headers["Authorization"] = authorization(canonical_request, names, moment, self._scope, credentials)
        return headers

    async def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_seconds: float,
        *,
        may_repeat: bool = False,
    ) -> Answer:
        """Sign and send a request, for services without actions, such as S3. Raises OSError as HttpClient does."""
        request = RequestLine(method, self._host, path)
        signed = signed_headers(request, headers, body, self._scope, self._credentials(), self._now())
        return await self._client.call(method, path, signed, body, timeout_seconds, may_repeat=may_repeat)

    async def connect(self, timeout_seconds: float) -> None:
        """Open the connection of the next call, unless there is one. Raises OSError."""
        await self._client.connect(timeout_seconds)

    def close(self) -> None:
        self._client.close()


def error_name(answer: Answer) -> str:
    """Return the name of the error in a JSON answer, such as `ThrottlingException`; empty if it names none.

    AWS writes it alone, after a namespace (`com.amazonaws.sqs#ThrottlingException`), or before a URL
    (`ThrottlingException:http://…`).
    """
    written: Json = answer.headers.get("x-amzn-errortype", "")
    if not written:
        try:
            document = from_json(answer.body)
        except (ValueError, RecursionError):
            return ""
        written = value_at(document, "__type")
    if not isinstance(written, str):
        return ""
    without_url = written.partition(":")[0]
    return without_url.rpartition("#")[2]


def is_temporary_answer(answer: Answer) -> bool:
    """Return whether the same request may succeed a moment later."""
    if answer.status == 200:
        return False
    return answer.status in {408, 429} or answer.status >= 500 or error_name(answer) in TEMPORARY_ERRORS
