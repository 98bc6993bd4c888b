"""The destination `webhook`: a request to any system that takes one.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import re
from typing import TYPE_CHECKING, Final

from functions.notify.destination import Attempt
from functions.notify.destinations.webhook.body import body_of
from functions.notify.destinations.webhook.prepared import PreparedWebhook, WebhookSettings
from functions.notify.http_kind import (
    HttpExample,
    OutgoingRequest,
    Response,
    SecretValues,
    outcome_by_status,
    template_view,
    unusable_secret,
)
from shared.delivery import Delivery, Outcome
from shared.errors import Permanent, Rejected
from shared.event import oneline
from shared.fetch import Tls
from shared.http import Request
from shared.limits import MAX_SIGNATURES
from shared.signatures.signing import standard_content, standard_signature

if TYPE_CHECKING:
    from shared.signatures.signature_scheme import SignatureScheme

DEDUPES_REPEATS: Final = True
"""`webhook-id` is the same in every attempt, and a receiver uses it as idempotency key (Standard Webhooks)."""
MAX_SEARCHED_BYTES: Final = 4_096
MAX_TITLE_CHARACTERS: Final = 80
_TITLE: Final = re.compile(r"<title[^>]*>([^<]+)", re.IGNORECASE)

EXAMPLES: Final = (
    HttpExample(
        settings={"url": "https://crm.example.com/in", "secret": "crm-signing"},
        data={"name": "Ada", "plan": "pro"},
        secrets={"crm-signing": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
        url="https://crm.example.com/in",
        headers={
            "webhook-id": "5f0c" * 16,
            "webhook-timestamp": "1772366405",
            "webhook-signature": "v1,01BidFdAs4/L6PoVPad7mg1kKvGjbPPelmb4kPr8uGQ=",
        },
        body={"name": "Ada", "plan": "pro"},
    ),
    HttpExample(
        settings={
            "url": "https://stock.example.com/items/{{ data.sku }}",
            "method": "PUT",
            "format": "form",
            "fields": {"order": "{{ subject }}"},
            "signature": {"header": "X-Signature", "prefix": "sha256=", "secret": "stock-signing"},
        },
        data={"sku": "A/17", "count": 3},
        secrets={"stock-signing": "a-secret-of-the-stock"},
        method="PUT",
        url="https://stock.example.com/items/A%2F17",
        headers={"x-signature": "sha256=7f56cc7338e0616dbed51dc5451eb231d949e7e9de69aaf92dd5e3d414b927a7"},
        body={"sku": "A/17", "count": "3", "order": "1042"},
    ),
    HttpExample(
        settings={
            "url": "https://hooks.example.com/v1",
            "body": '{"text": {{ ("New order from " ~ data.name) | tojson }}}',
            "headers": {"x-event": "{{ type }}"},
            "auth": {"scheme": "bearer", "secret": "hooks-token"},
        },
        data={"name": 'Ann "Bob"'},
        secrets={"hooks-token": "a-token-of-hooks"},
        url="https://hooks.example.com/v1",
        headers={"x-event": "order.created"},
        body={"text": 'New order from Ann "Bob"'},
    ),
)


def read_settings(compiled: WebhookSettings) -> PreparedWebhook:
    return PreparedWebhook(compiled)


def request(delivery: Delivery, webhook: PreparedWebhook, secrets: SecretValues, attempt: Attempt) -> OutgoingRequest:
    """Raises Permanent, and Temporary for a secret that is no key."""
    settings, view = webhook.settings, {} if webhook.is_template_free else template_view(delivery)
    method, secret = settings["method"], settings["secret"]
    content, headers = body_of(delivery.event, webhook, view)
    named = {**dict(headers), **dict(webhook.headers_for(view))}
    timestamp = int(attempt.now)
    named |= {
        "hookchain-hops": str(delivery.event.hops + 1),
        "webhook-id": attempt.idempotency_key,
        "webhook-timestamp": str(timestamp),
    }
    url, tls = webhook.url_for(view), _tls(settings, secrets)
    if webhook.scheme is not None:
        path, _, query = url.partition("?")
        plain = Request(method, path, query, tuple(named.items()), content)
        signed = _signed(plain, webhook.scheme, secrets[webhook.signature_secret], attempt)
        url, named, content = _url(signed), dict(signed.headers), signed.body
    if secret is not None:
        signed_text = standard_content(attempt.idempotency_key.encode(), timestamp, content)
        try:
            signatures = [standard_signature(signed_text, value) for value in secrets[secret][:MAX_SIGNATURES]]
        except ValueError as error:
            raise unusable_secret(secret, f"cannot sign ({error})") from error
        named["webhook-signature"] = " ".join(signatures)
    return OutgoingRequest(method, url, tuple(named.items()), content, webhook.auth, settings["allow_private"], tls)


def outcome(response: Response) -> Outcome:
    """Return the outcome. Any status other than 2xx and 410 is retried: a receiver's fault is often fixed."""
    return outcome_by_status(response, "the receiver")


def doubt_of(response: Response) -> str | None:
    """Return a warning for a response that is an HTML page, which an API rarely returns and a login form always is.

    Only the first 4 KiB of the body are searched.
    """
    content_type = response.header("content-type") or ""
    beginning = response.body[:MAX_SEARCHED_BYTES]
    if "html" not in content_type.lower() or b"<html" not in beginning.lower():
        return None
    title = _TITLE.search(beginning.decode("utf-8", "replace"))
    named = f" (title {oneline(title[1]).strip()[:MAX_TITLE_CHARACTERS]!r})" if title else ""
    page = f"the receiver answered {response.status} with an HTML page{named}"
    return f"{page}, which is often a login page: check the URL or set `success_when`"


def _tls(settings: WebhookSettings, secrets: SecretValues) -> Tls | None:
    """Raises Temporary for a secret that lacks the certificate or its key."""
    authorities, name = settings["authorities"], settings["certificate_secret"]
    if name is None:
        return Tls(authorities=authorities) if authorities else None
    blocks = secrets[name]
    keys = [block for block in blocks if "PRIVATE KEY-----" in block]
    certificates = [block for block in blocks if "-----BEGIN CERTIFICATE-----" in block]
    if not certificates or len(keys) != 1:
        raise unusable_secret(name, "must hold a client certificate and its private key, both PEM")
    return Tls("".join(certificates), keys[0], authorities or "")


def _signed(plain: Request, scheme: "SignatureScheme", values: tuple[str, ...], attempt: Attempt) -> Request:
    from shared.signatures.content_signing import ContentSigner, sign_content  # few webhooks have a layout

    signer = ContentSigner(values[:MAX_SIGNATURES], _url, attempt.now, attempt.idempotency_key)
    try:
        return sign_content(plain, scheme, signer)
    except Rejected as error:
        raise Permanent("undefined_field", f"signature: {error.detail}") from error
    except (ValueError, RecursionError) as error:
        raise Permanent("conversion_failed", "signature: the body cannot hold what the layout puts into it") from error


def _url(plain: Request) -> str:
    return f"{plain.path}?{plain.query}" if plain.query else plain.path
