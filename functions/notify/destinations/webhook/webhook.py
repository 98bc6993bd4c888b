"""The destination `webhook`: a request to any system, in the format and with the signature that its receiver expects.

`request` and `outcome` are the interface of a kind (http_kind.py). The settings come from the slice as JSON, which
settings.py validated: notify does not import pydantic for a webhook, which would take 45 ms of its start.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from functions.notify import destination, http_kind
from functions.notify.destinations.webhook.body import BodySettings, body_of
from shared import errors, fetch, http, jsontext
from shared.delivery import Delivery, Outcome, RetryLater
from shared.event import Event, oneline
from shared.signatures.signing import MAX_SIGNATURES, standard_content, standard_signature
from shared.templating.template import Template, is_template, one_line_template, url_segment

if TYPE_CHECKING:
    from shared.outgoing.auth import AnyRequestAuth
    from shared.signatures.signature_scheme import SignatureScheme

DEDUPES_REPEATS: Final = True
"""`webhook-id` is the same in every attempt, and a receiver uses it as idempotency key (Standard Webhooks)."""
BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""Methods that send no body, unless `body` names one for DELETE."""
MAX_SEARCHED_BYTES: Final = 4_096
"""How much of a response is searched for the title of an HTML page."""
MAX_TITLE_CHARACTERS: Final = 80
_ADVICE: Final = {
    400: "its answer may say what is wrong with the body or headers (`body`, `format`, `headers`)",
    401: "it requires credentials or a signature, or others than these: correct `auth` or `secret`, or their values",
    403: "it does not allow this. If it needs credentials, correct `auth`, `secret` or the rights there; otherwise, a"
    " firewall in front of it may block the request",
    404: "there is nothing at this address: correct `url`",
    405: "it requires another method there: correct `method` or `url`",
    413: "the body is too large for it: send less, for example with a `body` of your own",
    415: "it requires another content type: set `format`",
    422: "its answer may say what is wrong with the body (`body`, `format`)",
    429: "it limits how often it is called: set `rate`",
}
"""What the operator can do about a status of the receiver."""
_BLOCKED: Final = (
    "its answer is an HTML page, which often comes from a firewall or proxy in front of it: allow Hookchain there. If"
    " the receiver itself sent the page, correct `auth`, `secret` or the rights there"
)
"""The same for a 403 with an HTML page."""
_TITLE: Final = re.compile(r"<title[^>]*>([^<]+)", re.IGNORECASE)


class WebhookSettings(BodySettings):
    """A destination's settings as the slice has them. settings.py says what each means."""

    url: str
    method: str
    headers: dict[str, str]
    secret: str | None
    signature: jsontext.JsonObject | None
    auth: list[jsontext.JsonObject]
    allow_private: bool
    certificate_secret: str | None
    authorities: str | None


class PreparedWebhook:
    """The settings, with what is the same for each event: compiled templates and the layout of the signature.

    has_body          whether a request has a body
    layout            the scheme of `signature`; None without one
    signature_secret  the name of its secret
    is_template_free  the body is the event's data as JSON, no template is filled, and there is no `layout`. The engine
                      then sets no bound to the time of templates, and no view of the event is made
    """

    def __init__(self, settings: WebhookSettings) -> None:
        """Raises ValueError for a text that is no template."""
        url_text = settings["url"]
        signature = settings["signature"]
        self.settings = settings
        self.has_body = settings["method"] not in BODILESS or settings["body"] is not None
        self.layout = None if signature is None else _layout_of(signature)
        self.signature_secret = "" if signature is None else str(signature["secret"])
        self.auth = _auth_of(settings["auth"])
        self._url = Template("url", url_text, encode=url_segment) if is_template(url_text) else None
        self._headers = {name: one_line_template(name, text) for name, text in settings["headers"].items()}
        has_own_body = settings["body"] is not None or bool(settings["fields"])
        has_templates = self._url is not None or bool(self._headers) or has_own_body
        self.is_template_free = settings["format"] == "json" and not has_templates and self.layout is None

    def url_for(self, view: jsontext.JsonObject) -> str:
        """Fill the URL's template. Raises Permanent."""
        return self._url.render(view) if self._url else self.settings["url"]

    def headers_for(self, view: jsontext.JsonObject) -> dict[str, str]:
        """Fill the headers' templates. Raises Permanent."""
        return {name: " ".join(template.render(view).split()) for name, template in self._headers.items()}


class _Draft(NamedTuple):
    """A request that is being made. A header that is set twice keeps the last value."""

    url: str
    headers: dict[str, str]
    body: bytes


def read_settings(compiled: WebhookSettings) -> PreparedWebhook:
    """Return the settings for `request`. Raises KeyError or ValueError if settings.py did not write them."""
    return PreparedWebhook(compiled)


def request(
    delivery: Delivery, webhook: PreparedWebhook, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Return the signed request of a delivery. The engine adds the schemes of `auth`, which may need the network.

    Raises Permanent if this event can never become such a request, and Temporary (`secret_unusable`) if a secret
    cannot sign or is no certificate.
    """
    settings = webhook.settings
    view: jsontext.JsonObject = {} if webhook.is_template_free else http_kind.template_view(delivery)
    body, body_headers = b"", dict[str, str]()
    if webhook.has_body:
        body, body_headers = body_of(delivery.event, settings, view)
    # The operator's headers may replace those of the body, and none may replace Hookchain's own.
    headers = body_headers | webhook.headers_for(view) | _own_headers(delivery.event, attempt)
    unsigned = _Draft(webhook.url_for(view), headers, body)
    # A layout may put its signature, time and id into the URL or the body, which Standard Webhooks then covers.
    signed_by_layout = _signed_by_layout(unsigned, webhook, secrets, attempt)
    signed = _signed_by_standard(signed_by_layout, settings["secret"], secrets, attempt)
    return http_kind.OutgoingRequest(
        method=settings["method"],
        url=signed.url,
        headers=tuple(signed.headers.items()),
        body=signed.body,
        auth=webhook.auth,
        allow_private=settings["allow_private"],
        tls=_tls(settings, secrets),
    )


def outcome(response: http_kind.Response) -> Outcome:
    """Return the outcome. Any status other than 2xx and 410 is retried: a receiver's fault is often fixed."""
    by_status = http_kind.outcome_by_status(response, "the receiver")
    advice = _BLOCKED if response.status == 403 and _is_html(response) else _ADVICE.get(response.status)
    if advice and isinstance(by_status, RetryLater):
        return replace(by_status, reason=f"{by_status.reason}: {advice}")
    return by_status


def doubt_of(response: http_kind.Response) -> str | None:
    """Return a warning if the response says that it is no success, or is an HTML page.

    An API rarely returns a page, and a login form always is one.
    """
    for name in ("ok", "success"):
        is_in_body = f'"{name}"'.encode() in response.body  # spares most responses the parsing
        if is_in_body and response.member(name) is False:
            rule = f"which often means that nothing was accepted: set `success_when: body.{name}`"
            return f'the receiver answered {response.status} with "{name}": false, {rule}'
    if not _is_html(response):
        return None
    title_element = _TITLE.search(response.body[:MAX_SEARCHED_BYTES].decode("utf-8", "replace"))
    title = oneline(title_element[1]).strip()[:MAX_TITLE_CHARACTERS] if title_element else ""
    page = f"an HTML page (title {title!r})" if title else "an HTML page"
    rule = "which is often a login page: check the URL or set `success_when`"
    return f"the receiver answered {response.status} with {page}, {rule}"


def _is_html(response: http_kind.Response) -> bool:
    content_type = response.header("content-type") or ""
    return "html" in content_type.lower() and b"<html" in response.body[:MAX_SEARCHED_BYTES].lower()


def _own_headers(event: Event, attempt: destination.Attempt) -> dict[str, str]:
    """Return the headers of every webhook. receive ends a loop by `hookchain-hops`."""
    return {
        "hookchain-hops": str(event.hops + 1),
        "webhook-id": attempt.idempotency_key,
        "webhook-timestamp": str(int(attempt.now)),
    }


def _signed_by_layout(
    draft: _Draft, webhook: PreparedWebhook, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> _Draft:
    """Return the request with the signature of `signature`; unchanged without one."""
    if webhook.layout is None:
        return draft
    # Imported here, because few webhooks have a signature layout of their own.
    from shared.signatures.content_signing import ContentSigner, sign_content

    path, _, query = draft.url.partition("?")  # `path` has the origin as well
    unsigned = http.Request(webhook.settings["method"], path, query, tuple(draft.headers.items()), draft.body)
    keys = secrets[webhook.signature_secret][:MAX_SIGNATURES]
    signer = ContentSigner(keys, _url_of, attempt.now, attempt.idempotency_key)
    try:
        signed = sign_content(unsigned, webhook.layout, signer)
    except errors.Rejected as error:
        raise errors.Permanent("undefined_field", f"signature: {error.detail}") from error
    except (ValueError, RecursionError) as error:
        raise errors.Permanent(
            "conversion_failed", "signature: the body cannot hold what the layout puts into it"
        ) from error
    return _Draft(_url_of(signed), dict(signed.headers), signed.body)


def _signed_by_standard(
    draft: _Draft, secret: str | None, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> _Draft:
    """Return the request with a signature by each value of the secret; unchanged without one."""
    if secret is None:
        return draft
    content = standard_content(attempt.idempotency_key.encode(), int(attempt.now), draft.body)
    try:
        signatures = [standard_signature(content, key) for key in secrets[secret][:MAX_SIGNATURES]]
    except ValueError as error:
        raise http_kind.unusable_secret(secret, f"cannot sign ({error})") from error
    return draft._replace(headers=draft.headers | {"webhook-signature": " ".join(signatures)})


def _tls(settings: WebhookSettings, secrets: http_kind.SecretValues) -> fetch.Tls | None:
    """Return the client's certificate and the server's authorities; None for the system's. Raises Temporary."""
    authorities = settings["authorities"]
    secret = settings["certificate_secret"]
    if secret is None:
        return fetch.Tls(authorities=authorities) if authorities else None
    blocks = secrets[secret]
    private_keys = [block for block in blocks if "PRIVATE KEY-----" in block]
    certificates = [block for block in blocks if "-----BEGIN CERTIFICATE-----" in block]
    if not certificates or len(private_keys) != 1:
        raise http_kind.unusable_secret(secret, "must hold a client certificate and its private key, both PEM")
    return fetch.Tls("".join(certificates), private_keys[0], authorities or "")


def _url_of(signed: http.Request) -> str:
    """Return the URL of a request whose path is a whole URL up to the query, as `_signed_by_layout` makes it."""
    return f"{signed.path}?{signed.query}" if signed.query else signed.path


def _layout_of(signature: jsontext.JsonObject) -> "SignatureScheme":
    """Return the scheme by which a source would verify the signature, and which can make it, too."""
    # Imported here, because few webhooks have a signature layout of their own.
    from shared.signatures.auth_scheme import SchemeEntry
    from shared.signatures.signature_scheme import SCHEMES

    settings: jsontext.JsonObject = {name: value for name, value in signature.items() if value is not None}
    return SCHEMES[str(settings["scheme"])].read(SchemeEntry(settings))


def _auth_of(schemes: Sequence[jsontext.JsonObject]) -> "tuple[AnyRequestAuth, ...]":
    if not schemes:
        return ()
    # Imported here, because it imports pydantic, which is slow.
    from shared.outgoing.auth import read_request_auth

    return read_request_auth(schemes)
