"""Remove a sender's passwords and tokens from the parts of a request that an event keeps (`keep_raw`).

A password or a token lets anybody who has it send as its sender, so none is kept. A signature does not: it fits this
request only. Loaded only for a source with a password or a token.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from functions.receive.admission import SecretValues
from functions.receive.source import Source
from shared import http
from shared.credential_masks import without_credentials
from shared.signatures.locations import Location, RequestFields

_REMOVED: Final = "[removed]"
_SHORTEST_TOKEN: Final = 8
"""The fewest characters of a token that is removed from a raw body. The text of a shorter one may also be elsewhere."""


def remove_credentials(
    source: Source, request: http.Request, secrets: SecretValues, body: bytes | None, headers: bytes | None
) -> tuple[bytes | None, bytes | None]:
    """Return the body and the headers without credentials, also where proxies copy them into other headers.

    An argument is None if it is not kept. The body becomes None if the tokens in it cannot be removed.
    """
    secret_values = [value for auth in source.auth if not auth.signs_content for value in secrets.get(auth.secret, ())]
    # Without what stands before the credential, such as `Bearer `.
    sent_values = [value.rpartition(" ")[2] for name, value in request.headers if name in source.password_headers]
    credentials = (*secret_values, *sent_values)
    if body is not None:
        body = _without_tokens(request, source.body_tokens)
    return (
        None if body is None else without_credentials(body, credentials),
        None if headers is None else without_credentials(headers, credentials),
    )


def _without_tokens(request: http.Request, places: Sequence[Location]) -> bytes | None:
    """Return the raw body without the tokens; None if they cannot be found in it, for example if it is compressed."""
    body = request.body
    for token in _tokens(request, places):
        if len(token) >= _SHORTEST_TOKEN:
            body = body.replace(token.encode("utf-8", "replace"), _REMOVED.encode())
    has_tokens_left = any(_tokens(replace(request, body=body), places))
    return None if has_tokens_left else body


def _tokens(request: http.Request, places: Sequence[Location]) -> Iterator[str]:
    """Yield the tokens that are still in the body."""
    fields = RequestFields(request)
    for place in places:
        texts = fields.data_texts(place) if place.kind == "data" else [fields.text(place)]
        for text in texts:
            if text and text != _REMOVED:
                yield text
