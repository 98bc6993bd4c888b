"""Secrets from Google Secret Manager: a secret's latest version."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from shared.errors import Temporary
from shared.secrets import READ_SECONDS, Reader, SecretDenied

if TYPE_CHECKING:
    from google.cloud.secretmanager import SecretManagerServiceClient


def from_secret_manager(
    project: str, prefix: str = "", make_client: "Callable[[], SecretManagerServiceClient] | None" = None
) -> Reader:
    """`prefix` is before each secret's name there.

    The client, which is slow to import, is made at the first secret that no nearer place has.
    """
    client: SecretManagerServiceClient | None = None

    def read(name: str) -> str | None:
        nonlocal client
        try:
            from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound
            from google.auth.exceptions import GoogleAuthError
        except ImportError:  # a bundle whose secrets are all mounted comes without the client
            return None
        try:
            client = client or (make_client or _over_rest)()
            version = f"projects/{project}/secrets/{prefix}{name}/versions/latest"
            answer = client.access_secret_version(name=version, timeout=READ_SECONDS, retry=None)
        except NotFound:
            return None
        except Forbidden as error:  # also for what is not there, to an account that may read only its own
            detail = f"Secret Manager lets this account read no secret {prefix + name!r}, or there is none"
            raise SecretDenied("secret_unavailable", detail) from error
        except (GoogleAPICallError, GoogleAuthError) as error:
            kind = type(error).__name__
            raise Temporary("secret_unavailable", f"Secret Manager has no answer for {name!r}: {kind}") from error
        text: str = answer.payload.data.decode("utf-8")
        return text

    return read


def _over_rest() -> "SecretManagerServiceClient":
    from google.cloud.secretmanager import SecretManagerServiceClient

    return SecretManagerServiceClient(transport="rest")
