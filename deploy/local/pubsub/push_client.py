"""Pushes over HTTP, on connections that are kept."""

from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

ACKNOWLEDGING: Final = frozenset({102, 200, 201, 202, 204})


class PushClient:
    """Makes its session at the first push, so that it belongs to the running event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[str, URL] = {}

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def push(self, endpoint: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float) -> bool:
        """Whether the endpoint acknowledged. No answer in time, or none at all, is a no like any other."""
        if self._session is None:
            self._session = _session()
        url = self._urls.setdefault(endpoint, URL(endpoint))
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        try:
            try:
                status = await _post(self._session, url, body, headers, timeout)
            except aiohttp.ServerDisconnectedError:
                # A server closes a kept connection just as we write to it; that says nothing about the message.
                status = await _post(self._session, url, body, headers, timeout)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        return status in ACKNOWLEDGING


async def _post(
    session: aiohttp.ClientSession, url: URL, body: bytes, headers: Mapping[str, str], timeout: aiohttp.ClientTimeout
) -> int:
    async with session.post(url, data=body, headers=headers, timeout=timeout, allow_redirects=False) as answer:
        await answer.read()
        return answer.status


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "CloudPubSub-Google", "Accept": "application/json"},
        auto_decompress=False,
    )
