"""Keys and certificates of providers, fetched from where their schemes allow, and kept for a while."""

from collections.abc import Iterable, Mapping
from typing import Final

from shared.errors import Permanent, Rejected, Temporary
from shared.ports import Clock, Fetch, Outgoing

KEEP_SECONDS: Final = 600.0
MAX_KEPT: Final = 64
MAX_BYTES: Final = 262_144
FETCH_SECONDS: Final = 2.0


class Keys:
    """Kept for ten minutes each, so that a key that a provider has taken back is not trusted for long."""

    def __init__(self, fetch: Fetch, clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._kept: dict[str, tuple[float, bytes]] = {}

    async def at(self, urls: Iterable[str]) -> Mapping[str, bytes]:
        """By URL. Raises Temporary where one cannot be had now, Rejected (`cert_url`) where there is none."""
        return {url: await self._key(url) for url in urls}

    async def _key(self, url: str) -> bytes:
        kept = self._kept.get(url)
        if kept and self._clock.now() < kept[0]:
            return kept[1]
        content = await self._fetched(url)
        while len(self._kept) >= MAX_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[url] = (self._clock.now() + KEEP_SECONDS, content)
        return content

    async def _fetched(self, url: str) -> bytes:
        try:
            answer = await self._fetch.fetch(Outgoing("GET", url, timeout_seconds=FETCH_SECONDS, max_bytes=MAX_BYTES))
        except (Temporary, Permanent) as error:
            raise Temporary("key_unavailable", f"the provider's key cannot be fetched: {error.code}") from error
        if 400 <= answer.status < 500 and answer.status not in {408, 429}:
            raise Rejected("cert_url", f"where the request says its key is, there is none: status {answer.status}")
        if answer.status != 200:
            raise Temporary("key_unavailable", f"the provider's key cannot be fetched: status {answer.status}")
        return answer.body


async def confirmed(fetch: Fetch, url: str) -> None:
    """GETs the URL that confirms a subscription. Raises Temporary where that failed: the provider asks again."""
    try:
        answer = await fetch.fetch(Outgoing("GET", url, timeout_seconds=FETCH_SECONDS, max_bytes=MAX_BYTES))
    except Permanent as error:
        raise Rejected("sub_url", f"the URL that confirms the subscription is refused: {error.code}") from error
    if not 200 <= answer.status < 300:
        raise Temporary("handshake", f"the subscription is not confirmed: status {answer.status}")
