"""Secrets from Google Secret Manager: a secret's latest version."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from shared import errors, secrets
from shared.cloud.retries import PASSING_STATUSES

if TYPE_CHECKING:
    from google.cloud.secretmanager import SecretManagerServiceClient


def from_secret_manager(
    project: str, prefix: str = "", make_client: "Callable[[], SecretManagerServiceClient] | None" = None
) -> secrets.Reader:
    """Return a reader of the project's secrets. `prefix` stands before each secret's name there.

    The client, which is slow to import, is made at the first secret that no nearer place has.
    """
    client: SecretManagerServiceClient | None = None

    def read(name: str) -> str | None:
        nonlocal client
        try:
            from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound
            from google.auth.exceptions import GoogleAuthError, TransportError
        except ImportError:  # a bundle whose secrets are all mounted comes without the client
            return None
        try:
            client = client or (make_client or _over_rest)()
            version = f"projects/{project}/secrets/{prefix}{name}/versions/latest"
            answer = client.access_secret_version(name=version, timeout=secrets.READ_SECONDS, retry=None)
        except NotFound:
            return None
        # Also the answer for a secret that does not exist, if the account may read only its own secrets.
        except Forbidden as error:
            detail = f"Secret Manager lets this account read no secret {prefix + name!r}, or there is none"
            raise secrets.SecretDenied("secret_unavailable", detail) from error
        except GoogleAPICallError as error:
            detail = f"Secret Manager answered {error.code} for {prefix + name!r}: {type(error).__name__}"
            raise _fault(detail, is_answer=not (error.code in PASSING_STATUSES or (error.code or 0) >= 500)) from error
        except GoogleAuthError as error:
            is_transport = isinstance(error, TransportError) or isinstance(error.__cause__, TransportError)
            detail = f"no access token for Secret Manager: {type(error).__name__}"
            raise _fault(detail, is_answer=not (is_transport or error.retryable)) from error
        text: str = answer.payload.data.decode("utf-8")
        return text

    return read


def _fault(detail: str, is_answer: bool) -> errors.Temporary:
    return (errors.Temporary if is_answer else secrets.SecretStoreUnreachable)("secret_unavailable", detail)


def _over_rest() -> "SecretManagerServiceClient":
    from google.cloud.secretmanager import SecretManagerServiceClient

    return SecretManagerServiceClient(transport="rest")
