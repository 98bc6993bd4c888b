"""Google Cloud's endpoint for spans, which takes OTLP in JSON: https://docs.cloud.google.com/stackdriver/docs/otlp/overview"""

from typing import Final

from shared.cloud.gcp.tokens import Authorization
from shared.outgoing.http_client import Answer, HttpClient

ENDPOINT: Final = "https://telemetry.googleapis.com"
MAX_ANSWER_BYTES: Final = 65_536


class GooglePost:
    """Posts with the function's own token. `project` pays for the requests."""

    def __init__(self, endpoint: str, project: str, authorization: Authorization, timeout_seconds: float) -> None:
        self._client = HttpClient(endpoint, MAX_ANSWER_BYTES)
        self._authorization = authorization
        self._headers = {"Content-Type": "application/json", "X-Goog-User-Project": project}
        self._timeout_seconds = timeout_seconds

    async def connect(self) -> None:
        """Get a token and a connection. Raises as a call does."""
        await self._authorization()
        await self._client.connect(self._timeout_seconds)

    async def __call__(self, path: str, body: bytes) -> Answer:
        """Return the answer. Raises OSError, and Temporary if there is no token."""
        token = await self._authorization()
        headers = {**self._headers, "Authorization": token} if token else self._headers
        return await self._client.call("POST", path, headers, body, self._timeout_seconds, may_repeat=True)

    def close(self) -> None:
        self._client.close()
