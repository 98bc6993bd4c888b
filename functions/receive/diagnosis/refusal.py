"""The diagnosis of a refusal that receive has just made, for its line in the log."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from functions.receive.diagnosis.attempts import attempted
from functions.receive.diagnosis.why import why_refused
from functions.receive.forwarded import requested_url
from functions.receive.sources import Source
from shared.errors import Temporary
from shared.http import Request
from shared.ports import Secrets

MAX_OTHERS: Final = 8
SECRETS_SECONDS: Final = 0.2
MAX_BODY_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request, whole, and the source that refused it."""

    request: Request
    source: Source
    sources: Mapping[str, Source]


async def why_it_was(refusal: Refusal, secrets: Secrets, now: float) -> str | None:
    """Why, of the first of its ways that the request attempts; None where nothing is known."""
    source, request = refusal.source, refusal.request
    if not source.auth or len(request.body) > MAX_BODY_BYTES:
        return None
    ways = attempted(request, source.auth)
    try:
        async with asyncio.timeout(SECRETS_SECONDS):
            own = await secrets.values(ways[0].secret) if ways[0].secret else ()
            others = await _others(refusal, secrets)
    except (TimeoutError, Temporary):
        return None
    return why_refused(request, ways[0], own, now, requested_url(request, source), others)


async def _others(refusal: Refusal, secrets: Secrets) -> Mapping[str, Sequence[str]]:
    found: dict[str, Sequence[str]] = {}
    for name, source in list(refusal.sources.items())[:MAX_OTHERS]:
        for secret in {way.secret for way in source.auth if way.secret}:
            if name != refusal.source.name:
                try:
                    found[name] = (*found.get(name, ()), *await secrets.values(secret))
                except Temporary:  # another source's trouble is none of this one's
                    continue
    return found
