"""Identity tokens from Cloud Run's metadata server: what a private function of ours takes from another.

https://cloud.google.com/run/docs/authenticating/service-to-service
"""

import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from shared.errors import Temporary
from shared.http_client import HttpClient

IDENTITY_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/identity"
ASK_SECONDS: Final = 2.0
KEPT_SECONDS: Final = 1_800.0  # of the hour that a token is good for
LAST_SECONDS: Final = 3_300.0
"""Until then a token still serves where the metadata server gives no new one."""
MAX_AUDIENCES: Final = 100


class MetadataIdentity:
    """`await identity(audience)`: a token for that audience, a URL. Raises Temporary (`identity`)."""

    def __init__(self, host: str, now: Callable[[], float] = time.time) -> None:
        self._host = host
        self._now = now
        self._kept: dict[str, tuple[float, str]] = {}

    async def __call__(self, audience: str) -> str:
        fetched_at, token = self._kept.get(audience, (-LAST_SECONDS, ""))
        if self._now() < fetched_at + KEPT_SECONDS:
            return token
        try:
            new = await self._fetch(audience)
        except Temporary:
            if self._now() >= fetched_at + LAST_SECONDS:
                raise
            return token
        if len(self._kept) >= MAX_AUDIENCES:
            self._kept.clear()
        self._kept[audience] = self._now(), new
        return new

    async def _fetch(self, audience: str) -> str:
        client = HttpClient(f"http://{self._host}")
        path = f"{IDENTITY_PATH}?audience={quote(audience, safe='')}"
        try:
            headers = {"Metadata-Flavor": "Google"}
            answer = await client.call("GET", path, headers, b"", ASK_SECONDS, may_repeat=True)
        except OSError as error:
            raise Temporary("identity", f"the metadata server did not answer: {type(error).__name__}") from error
        finally:
            client.close()
        if answer.status != 200 or not answer.body:
            raise Temporary("identity", f"the metadata server answered {answer.status} when asked for an identity")
        return answer.body.decode("ascii", "replace").strip()
