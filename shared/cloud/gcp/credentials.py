"""Google's application default credentials as the value of an Authorization header."""

import asyncio
import math
from datetime import UTC
from typing import TYPE_CHECKING

from shared.cloud.gcp.pubsub import Authorization
from shared.cloud.gcp.tokens import Token, renewed
from shared.errors import Temporary

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def google_authorization() -> Authorization:
    """Looks for credentials at the first call, and gets a new token in a thread when one is about to expire."""
    found: Credentials | None = None

    async def fetch() -> Token:
        nonlocal found
        found = await asyncio.to_thread(_refreshed, found)
        return Token(str(found.token), found.expiry.replace(tzinfo=UTC).timestamp() if found.expiry else math.inf)

    return renewed(fetch)


def _refreshed(credentials: "Credentials | None") -> "Credentials":
    import google.auth
    import google.auth.exceptions
    import google.auth.transport.urllib3
    import urllib3

    pool = urllib3.PoolManager(timeout=2.0, retries=False)
    transport = google.auth.transport.urllib3.Request(pool)  # type: ignore[no-untyped-call] # google-auth has none here
    try:
        if credentials is None:
            credentials, _ = google.auth.default(scopes=[SCOPE], request=transport)
        credentials.refresh(transport)  # type: ignore[no-untyped-call] # nor here
    except google.auth.exceptions.GoogleAuthError as error:
        raise Temporary("credentials", f"no Google credentials: {type(error).__name__}") from error
    return credentials
