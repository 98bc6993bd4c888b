"""The parts of a request that an event keeps as they were sent, without the sender's credentials (`keep_raw`).

A password or a token lets anybody who has it send as its sender, so none is kept. A signature does not: it fits this
request only. Where every scheme of a source is a signature, only the headers of credentials are left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from functions.receive.admission import SecretValues
from functions.receive.source import Source
from shared import credential_masks, http
from shared.event import attribute_text
from shared.jsontext import Json, base64_text, texts_json
from shared.signatures.locations import Location, RequestFields

_REMOVED: Final = "[removed]"
_SHORTEST_TOKEN: Final = 8
"""The fewest characters of a token that is removed from a raw body. The text of a shorter one may also be elsewhere."""


def raw_parts(
    source: Source, request: http.Request, secrets: SecretValues, *, with_body: bool
) -> Mapping[str, str | None]:
    """Return Event's `rawbody` or `rawbase64`, `rawtype` and `rawheaders`, those of them that the source keeps.

    The body is left out if the tokens in it cannot be removed.
    """
    credentials = _credentials(source, request, secrets)
    raw: dict[str, str | None] = {}
    body = body_without_tokens(request, source.body_tokens) if with_body else None
    if body is not None:
        raw["rawtype"] = attribute_text(request.header("content-type") or "") or None
        kept_body = credential_masks.without_credentials(body, credentials)
        try:
            raw["rawbody"] = kept_body.decode("utf-8")
        except UnicodeDecodeError:
            raw["rawbase64"] = base64_text(kept_body)
    if source.keep_raw == "all":
        pairs: list[Json] = [[name, value] for name, value in request.headers if name not in source.secret_headers]
        raw["rawheaders"] = credential_masks.without_credentials(texts_json(pairs), credentials).decode()
    return raw


def _credentials(source: Source, request: http.Request, secrets: SecretValues) -> Sequence[str]:
    """Return the passwords and tokens that the kept parts may have, because proxies copy them into other headers."""
    if not source.password_headers:
        return ()
    secret_values = [value for auth in source.auth if not auth.signs_content for value in secrets.get(auth.secret, ())]
    # Without what stands before the credential, such as `Bearer `.
    sent_values = [value.rpartition(" ")[2] for name, value in request.headers if name in source.password_headers]
    return (*secret_values, *sent_values)


def body_without_tokens(request: http.Request, places: Sequence[Location]) -> bytes | None:
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
