"""The endpoint of AWS X-Ray for spans, which takes OTLP in JSON. It keeps them once Transaction Search is on.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-OTLPEndpoint.html
"""

from typing import Final

from shared.cloud.aws.client import AwsClient, AwsPlace
from shared.outgoing.http_client import Answer

SERVICE: Final = "xray"
MAX_ANSWER_BYTES: Final = 65_536
_HEADERS: Final = {"Content-Type": "application/json"}


class AwsPost:
    """Posts with the keys of the function's role, which sign the request."""

    def __init__(self, place: AwsPlace, timeout_seconds: float) -> None:
        self._client = AwsClient(place, SERVICE, max_answer_bytes=MAX_ANSWER_BYTES)
        self._timeout_seconds = timeout_seconds

    async def connect(self) -> None:
        await self._client.connect(self._timeout_seconds)

    async def __call__(self, path: str, body: bytes) -> Answer:
        """Return the answer. Raises OSError."""
        return await self._client.call("POST", path, _HEADERS, body, self._timeout_seconds, may_repeat=True)

    def close(self) -> None:
        self._client.close()
