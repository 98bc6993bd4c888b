"""Secrets from Google Secret Manager: a secret's latest version."""

from typing import TYPE_CHECKING

from shared.errors import Temporary
from shared.secrets import READ_SECONDS, Reader

if TYPE_CHECKING:
    from google.cloud.secretmanager import SecretManagerServiceClient


def from_secret_manager(project: str) -> Reader:
    """The client, which is slow to import, is made at the first secret that no nearer place has."""
    client: SecretManagerServiceClient | None = None

    def read(name: str) -> str | None:
        nonlocal client
        from google.api_core.exceptions import GoogleAPICallError, NotFound
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.secretmanager import SecretManagerServiceClient

        try:
            client = client or SecretManagerServiceClient(transport="rest")
            version = f"projects/{project}/secrets/{name}/versions/latest"
            answer = client.access_secret_version(name=version, timeout=READ_SECONDS, retry=None)
        except NotFound:
            return None
        except (GoogleAPICallError, GoogleAuthError) as error:
            kind = type(error).__name__
            raise Temporary("secret_unavailable", f"Secret Manager has no answer for {name!r}: {kind}") from error
        text: str = answer.payload.data.decode("utf-8")
        return text

    return read
