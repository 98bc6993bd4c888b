"""Secrets and signatures are compared in constant time, with every candidate, whether or not one has matched."""

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Final

import jwt
import pytest

from shared.errors import Rejected
from shared.http import Request
from shared.jsontext import Json
from shared.signatures.auth_scheme import read_scheme, verify_request
from shared.signatures.links import link_signature, verify_link
from shared.signatures.signing import digest_text, hmac_text, matches_any
from shared.signatures.standard_webhooks import sign_standard

NOW: Final = 1_790_000_000
SECRETS: Final = ["newest-secret-0123456789-0123456789", "older-secret-0123456789-0123456789"]
WHSECS: Final = ["whsec_bmV3ZXN0LXNlY3JldC0wMTIzNDU2Nzg5", "whsec_b2xkZXItc2VjcmV0LTAxMjM0NTY3ODk="]
BODY: Final = b'{"a": 1}'


class Comparisons:
    """Counts calls of hmac.compare_digest, which still compares."""

    def __init__(self) -> None:
        self.count = 0
        self._compare = hmac.compare_digest

    def __call__(self, one: bytes, other: bytes) -> bool:
        self.count += 1
        return self._compare(one, other)


@pytest.fixture
def comparisons(monkeypatch: pytest.MonkeyPatch) -> Comparisons:
    counting = Comparisons()
    monkeypatch.setattr(hmac, "compare_digest", counting)
    return counting


@pytest.mark.parametrize("given", [["right", "other"], ["other", "right"], ["other", "another"]])
@pytest.mark.parametrize("expected", [["right", "old"], ["old", "right"]])
def test_every_pair_is_compared_even_after_one_has_matched(
    given: Sequence[str], expected: Sequence[str], comparisons: Comparisons
) -> None:
    assert matches_any(given, expected) is ("right" in given)
    assert comparisons.count == len(given) * len(expected)


@pytest.mark.parametrize("newest_signs", [True, False])
def test_a_links_signature_is_compared_with_that_of_every_secret(newest_signs: bool, comparisons: Comparisons) -> None:
    secret = SECRETS[0 if newest_signs else 1]
    verify_link("hook", f"a=1&hc_sig={link_signature('hook', [('a', '1')], secret)}", SECRETS, NOW)
    assert comparisons.count == len(SECRETS)
    with pytest.raises(Rejected):
        verify_link("hook", "a=1&hc_sig=forged", SECRETS, NOW)
    assert comparisons.count == 2 * len(SECRETS)


def request(
    headers: Mapping[str, str] | None = None, path: str = "/hook", query: str = "", body: bytes = BODY
) -> Request:
    lower = {name.lower(): value for name, value in (headers or {}).items()}
    return Request("POST", path, query, tuple({"content-type": "application/json", **lower}.items()), body)


def password_headers(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}", "X-Password": secret}


def schemes(secret: str) -> dict[str, tuple[dict[str, Json], Request]]:
    """By scheme: how it is configured, and a request that this secret proves."""
    token = jwt.encode({"iat": NOW, "exp": NOW + 60}, secret, algorithm="HS256")
    return {
        "bearer": ({}, request(password_headers(secret))),
        "header": ({"header": "X-Password"}, request(password_headers(secret))),
        "path": ({}, request(path=f"/hook/{secret}")),
        "query": ({"parameter": "token"}, request(query=f"token={secret}")),
        "token": ({"at": "data.token"}, request(body=json.dumps({"token": secret}).encode())),
        "hmac": ({"header": "X-Sig"}, request({"X-Sig": hmac_text(BODY, secret.encode(), "sha256", "hex")})),
        "digest": (
            {"header": "X-Sig", "content": "{secret}{body}"},
            request({"X-Sig": digest_text(secret.encode() + BODY, "sha256", "hex")}),
        ),
        "jwt": (
            {"header": "authorization", "prefix": "Bearer ", "algorithms": "HS256"},
            request({"Authorization": f"Bearer {token}"}),
        ),
    }


@pytest.mark.parametrize("scheme", sorted(schemes(SECRETS[0])))
@pytest.mark.parametrize("secret", SECRETS)
def test_each_scheme_compares_with_every_secret(scheme: str, secret: str, comparisons: Comparisons) -> None:
    settings, sent = schemes(secret)[scheme]
    verify_request(sent, read_scheme({"scheme": scheme, "secret": "s", **settings}), SECRETS, {}, NOW)
    assert comparisons.count == len(SECRETS)


@pytest.mark.parametrize("secret", WHSECS)
def test_a_standard_webhook_is_compared_with_every_secret(secret: str, comparisons: Comparisons) -> None:
    signature = sign_standard(secret, "msg_1", NOW, BODY)
    sent = request({"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": signature})
    verify_request(sent, read_scheme({"scheme": "standard-webhooks", "secret": "s"}), WHSECS, {}, NOW)
    assert comparisons.count == len(WHSECS)
