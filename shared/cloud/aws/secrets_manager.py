"""Secrets from AWS Secrets Manager: a secret's current version.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

import base64

from shared.cloud.aws.client import AwsClient, AwsPlace, error_name, is_temporary_answer
from shared.errors import Temporary
from shared.jsontext import from_json, mapping_at, texts_json
from shared.secrets import READ_SECONDS, AsyncReader, SecretDenied, SecretStoreUnreachable


def from_secrets_manager(place: AwsPlace, prefix: str = "") -> AsyncReader:
    """Return a reader of the account's secrets. `prefix` stands before each secret's name there."""
    client = AwsClient(place, "secretsmanager", protocol="1.1")

    async def read(name: str) -> str | None:
        """Raises OSError, Temporary."""
        body = texts_json({"SecretId": prefix + name})
        answer = await client.action("secretsmanager.GetSecretValue", body, READ_SECONDS, may_repeat=True)
        if answer.status == 200:
            return _text(answer.body)
        error = error_name(answer)
        if error == "ResourceNotFoundException":
            return None
        if error in ("AccessDenied", "AccessDeniedException"):  # also the answer for a secret that does not exist
            detail = f"Secrets Manager lets this role read no secret {prefix + name!r}, or there is none"
            raise SecretDenied("secret_unavailable", detail)
        detail = f"Secrets Manager answered {answer.status} {error} for {prefix + name!r}"
        raise (SecretStoreUnreachable if is_temporary_answer(answer) else Temporary)("secret_unavailable", detail)

    return read


def _text(body: bytes) -> str | None:
    """Return the secret's text. One that was stored as bytes is text in UTF-8. Raises UnicodeDecodeError."""
    values = mapping_at(from_json(body))
    text, content = values.get("SecretString"), values.get("SecretBinary")
    if isinstance(text, str):
        return text
    return base64.b64decode(content).decode() if isinstance(content, str) else None
