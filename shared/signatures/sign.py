"""The inverse of verify: a request as the sender that a way trusts would have sent it."""

import base64
import hashlib
from typing import Final
from urllib.parse import quote

from shared.signatures.contentful import SIGNATURE, SIGNED_HEADERS, TIMESTAMP, canonical_request
from shared.signatures.draft import Draft
from shared.signatures.macs import hmac_text
from shared.signatures.places import Place
from shared.signatures.sign_content import sign_content
from shared.signatures.sign_jwt import signed_token
from shared.signatures.standard_webhooks import sign_standard
from shared.signatures.timestamps import timestamp_text
from shared.signatures.way import Way

UNSIGNABLE: Final = frozenset({"aws-sns", "paypal", "link"})
"""The schemes whose key nobody but the provider has, and the one that signs links alone."""


def sign(way: Way, secret: str, draft: Draft, now: float, message_id: str = "msg_1") -> Draft:
    """The same draft, with its proof: in a header, the URL or the body, wherever the way has it.

    `secret` is the text the source's secret has; for schemes with a public key, the private key that goes with it (PEM,
    or `whsk_…`). Raises ValueError for what cannot be signed here, Temporary for a secret that is no key.
    """
    if way.scheme in UNSIGNABLE:
        raise ValueError(f"nobody but the provider can sign by {way.scheme}")
    _meet_conditions(way, draft)
    match way.scheme:
        case "hmac" | "digest" | "ed25519" | "ecdsa" | "rsa":
            sign_content(way, secret, draft, now, message_id)
        case "standard-webhooks":
            _sign_standard(way, secret, draft, now, message_id)
        case "jwt":
            digest = hashlib.sha256(draft.body).hexdigest()
            draft.put_header(way.header, way.prefix + signed_token(way, secret, now, digest))
        case "contentful":
            _sign_contentful(secret, draft, now)
        case _:
            _show_secret(way, secret, draft)
    return draft


def _meet_conditions(way: Way, draft: Draft) -> None:
    for place, wanted in way.when:
        if isinstance(wanted, str):
            draft.put(place, wanted)


def _show_secret(way: Way, secret: str, draft: Draft) -> None:
    match way.scheme:
        case "basic":
            pair = f"{way.username or 'hookchain'}:{secret}"
            draft.put_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
        case "header":
            draft.put_header(way.header, secret)
        case "bearer":
            draft.put_header("Authorization", f"Bearer {secret}")
        case "path":
            draft.url = f"{draft.url.rstrip('/')}/{quote(secret, safe='')}"
        case "query":
            draft.put(Place("query", (way.parameter,)), secret)
        case "token" if way.at:
            draft.put(way.at, way.prefix + secret)


def _sign_standard(way: Way, secret: str, draft: Draft, now: float, message_id: str) -> None:
    for name, value in (
        ("id", message_id),
        ("timestamp", str(int(now))),
        ("signature", sign_standard(secret, message_id, int(now), draft.body, way.key)),
    ):
        draft.put_header(f"{way.names}-{name}", value)


def _sign_contentful(secret: str, draft: Draft, now: float) -> None:
    names = (SIGNED_HEADERS, TIMESTAMP)
    draft.put_header(TIMESTAMP, timestamp_text(now, "ms"))
    draft.put_header(SIGNED_HEADERS, ",".join(names))
    content = canonical_request(draft.request(), draft.url, names)
    draft.put_header(SIGNATURE, hmac_text(content, secret.encode(), "sha256", "hex"))
