"""The ways to a collector: by OTLP over HTTP, with the headers in a secret, or none.

The ways to a cloud's own endpoint are in shared/cloud/gcp/otlp.py and shared/cloud/aws/otlp.py.
"""

from typing import Final
from urllib.parse import unquote, urlsplit

from shared import errors, ports
from shared.outgoing.http_client import Answer, HttpClient
from shared.telemetry.exporter import SEND_SECONDS

MAX_ANSWER_BYTES: Final = 65_536


class NoPost:
    """Drops what is posted."""

    async def connect(self) -> None: ...

    async def __call__(self, path: str, body: bytes) -> Answer:  # noqa: ARG002 the interface
        return Answer(200, b"")


class OtlpPost:
    """Posts to a collector, below the URL `base`. The secret has the headers of each request."""

    def __init__(self, base: str, secrets: ports.Secrets, headers_secret: str | None) -> None:
        self._client = HttpClient(base, MAX_ANSWER_BYTES, may_cut=True)
        self._path = urlsplit(base).path.rstrip("/")
        self._secrets = secrets
        self._headers_secret = headers_secret

    async def connect(self) -> None:
        await self._client.connect(SEND_SECONDS)

    async def __call__(self, path: str, body: bytes) -> Answer:
        own_headers = {} if self._headers_secret is None else await self._read_secret(self._headers_secret)
        headers = {"user-agent": "hookchain", **own_headers, "content-type": "application/json"}
        return await self._client.call("POST", f"{self._path}{path}", headers, body, SEND_SECONDS, may_repeat=True)

    async def _read_secret(self, name: str) -> dict[str, str]:
        """Return the headers in the secret. Raises Temporary, also if a request cannot have them, or if the secret has
        another form."""
        # Imported here, because it takes 3 ms of a function's start.
        from shared.outgoing.allowed_requests import verify_headers

        text = (await self._secrets.values(name))[0]
        try:
            headers = read_headers(text)
            verify_headers([*headers.items()])
        except errors.Permanent as error:
            raise errors.Temporary("secret_unusable", f"the secret {name!r}: {error.detail}") from error
        return headers

    def close(self) -> None:
        self._client.close()


def read_headers(text: str) -> dict[str, str]:
    """Return the headers in `name=value,name=value`, in which values may be percent-encoded.

    Names are returned in lower case, so that no header is sent twice. Raises Permanent (`invalid_header`) if a part has
    no name or no `=`. The message has no part of the text, which may be a credential alone.

    https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables
    """
    headers: dict[str, str] = {}
    for part in filter(str.strip, text.split(",")):
        name, found, value = part.partition("=")
        if not found or not name.strip():
            rule = "must have the form `name=value,name=value`, such as `authorization=Bearer%20abc`"
            raise errors.Permanent("invalid_header", rule)
        headers[name.strip().lower()] = unquote(value.strip())
    return headers
