"""The parts of a request that an event keeps as they were sent (`keep_raw`), without credentials."""

from collections.abc import Sequence

from functions.receive.admission import SecretValues
from functions.receive.source import Source
from shared import http
from shared.base64_text import base64_text
from shared.event import attribute_text
from shared.jsontext import Json, texts_json

RawParts = dict[str, str | None]
"""Event's `rawbody`, `rawbase64`, `rawtype` and `rawheaders`, those of them that the source keeps."""


def parts_of(source: Source, request: http.Request, secrets: SecretValues) -> RawParts:
    """Return what the source keeps of the request as it was sent, without credentials.

    The body is left out if the tokens in it cannot be removed.
    """
    headers = headers_of(source, request, secrets)
    body: bytes | None = request.body
    if source.body_tokens:
        from functions.receive.body_tokens import body_without_tokens

        body = body_without_tokens(request, source.body_tokens)
    if body is None:
        return headers
    raw: RawParts = {"rawtype": attribute_text(request.header("content-type") or "") or None}
    kept_body = _without(body, _credentials(source, request, secrets))
    try:
        raw["rawbody"] = kept_body.decode("utf-8")
    except UnicodeDecodeError:
        raw["rawbase64"] = base64_text(kept_body)
    return {**raw, **headers}


def headers_of(source: Source, request: http.Request, secrets: SecretValues) -> RawParts:
    """Return the headers as Event's `rawheaders`, without credentials, if the source keeps them."""
    if source.keep_raw != "all":
        return {}
    pairs: list[Json] = [[name, value] for name, value in request.headers if name not in source.secret_headers]
    return {"rawheaders": _without(texts_json(pairs), _credentials(source, request, secrets)).decode()}


def _credentials(source: Source, request: http.Request, secrets: SecretValues) -> Sequence[str]:
    """Return the passwords and tokens that the kept parts may have, because proxies copy them into other headers."""
    if source.keep_raw == "no" or not source.password_headers:
        return ()
    secret_values = [value for auth in source.auth if not auth.signs_content for value in secrets.get(auth.secret, ())]
    # Without what stands before the credential, such as `Bearer `.
    sent_values = [value.rpartition(" ")[2] for name, value in request.headers if name in source.password_headers]
    return (*secret_values, *sent_values)


def _without(kept: bytes, credentials: Sequence[str]) -> bytes:
    if not credentials:
        return kept
    # Imported here, because only sources that have a password and keep the body as it was sent need it.
    from shared.credential_masks import without_credentials

    return without_credentials(kept, credentials)
