"""Pushes over HTTP, on connections that are kept.

Over our own client, because it was measured: a request takes a third of one over aiohttp's, whose sessions, redirects
and cookies none of them needs.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from deploy.dev.pubsub.policies import PushTarget
from deploy.dev.pubsub.push_tokens import PushTokens
from shared.http_client import HttpClient

ACKNOWLEDGING: Final = frozenset({102, 200, 201, 202, 204})
_HEADERS: Final = {"Accept": "application/json", "User-Agent": "CloudPubSub-Google"}


class PushClient:
    def __init__(self, tokens: PushTokens | None = None) -> None:
        self._tokens = tokens
        self._clients: dict[str, HttpClient] = {}

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def authorization(self, target: PushTarget) -> dict[str, str]:
        """Return the header that says as whom it pushes, if the subscription names an account. Raises OSError."""
        if not target.account or self._tokens is None:
            return {}
        return {"Authorization": f"Bearer {self._tokens.token(target.account, target.audience)}"}

    async def push(self, url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float) -> bool:
        """Whether the endpoint acknowledged. No answer in time, or none at all, is a no like any other."""
        parts = urlsplit(url)
        authority = parts.netloc.rpartition("@")[2]
        client = self._clients.get(authority)
        if client is None:
            client = self._clients[authority] = HttpClient(f"http://{authority}", takes_interim=True)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            # A server closes a kept connection just as we write to it: that says nothing about the message.
            answer = await client.call("POST", target, {**_HEADERS, **headers}, body, timeout_seconds, may_repeat=True)
        except OSError:  # a timeout is one, too
            return False
        return answer.status in ACKNOWLEDGING
