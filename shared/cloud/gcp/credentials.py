"""Google's application default credentials as the value of an Authorization header."""

from shared.cloud.gcp.pubsub import Authorization
from shared.errors import Temporary

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def google_authorization() -> Authorization:
    """Looks for credentials at the first call, and refreshes a token when it is about to expire."""
    import google.auth
    import google.auth.exceptions
    import google.auth.transport.urllib3
    import urllib3

    transport = google.auth.transport.urllib3.Request(urllib3.PoolManager(timeout=2.0, retries=False))  # type: ignore[no-untyped-call] # google-auth has no types here
    found = None

    def authorization() -> str | None:
        nonlocal found
        try:
            if found is None:
                found, _ = google.auth.default(scopes=[SCOPE], request=transport)
            if not found.valid:
                found.refresh(transport)  # type: ignore[no-untyped-call] # nor here
        except google.auth.exceptions.GoogleAuthError as error:
            raise Temporary("bus", f"no Google credentials: {type(error).__name__}") from error
        return f"Bearer {found.token}"

    return authorization
