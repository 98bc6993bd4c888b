"""The destination `webhook`: a request to any system that takes one.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, TypedDict
from urllib.parse import quote

from functions.notify.destination import Attempt
from functions.notify.event_content import bytes_in, public_cloudevent
from functions.notify.http_kind import (
    HttpExample,
    OutgoingRequest,
    Response,
    SecretValues,
    json_in,
    outcome_by_status,
    rendered,
    template_view,
    unusable_secret,
)
from shared.delivery import Delivery, Outcome
from shared.errors import Permanent, Rejected
from shared.event import Event, oneline
from shared.fetch import Tls
from shared.http import Request
from shared.jsontext import Json, JsonObject, kind_of, to_json
from shared.limits import MAX_SIGNATURES
from shared.signatures.signing import standard_content, standard_signature
from shared.templates import Template, is_template, one_line_template
from shared.writers.text_writers import write_form, write_text
from shared.writers.writing import Unwritable

if TYPE_CHECKING:
    from shared.outgoing.auth import AnyRequestAuth
    from shared.signatures.signature_scheme import SignatureScheme


Format = Literal["json", "xml", "yaml", "form", "text", "cloudevents", "cloudevents-binary"]
BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""Methods that send no body, unless `body` names one for DELETE."""


class WebhookSettings(TypedDict):
    """A destination's settings, as the slice holds them: see settings.py, which validated them."""

    url: str
    method: str
    format: Format
    root: str
    body: str | None
    fields: JsonObject
    headers: dict[str, str]
    secret: str | None
    signature: JsonObject | None
    auth: list[JsonObject]
    allow_private: bool
    certificate_secret: str | None
    authorities: str | None


class PreparedWebhook:
    """The settings, and what is made of them once: templates, and the scheme of the signature.

    `signature_secret` names the secret of `scheme`. `is_template_free`: the body is the event's data as JSON, and
    a request takes no template.
    """

    def __init__(self, settings: WebhookSettings) -> None:
        """Raises ValueError for a text that is no template."""
        self.settings = settings
        self.has_body = settings["method"] not in BODILESS or settings["body"] is not None
        self._url = Template("url", settings["url"], url=True) if is_template(settings["url"]) else None
        self._headers = [(name, one_line_template(name, text)) for name, text in settings["headers"].items()]
        signature = settings["signature"]
        self.scheme = None if signature is None else _scheme_of(signature)
        self.signature_secret = "" if signature is None else str(signature["secret"])
        self.auth = _auth_of(settings["auth"])
        texts = self._url or self._headers or settings["body"] is not None or settings["fields"] or self.scheme
        self.is_template_free = not texts and settings["format"] == "json"

    def url_for(self, view: JsonObject) -> str:
        """Fill the URL's template. Raises Permanent."""
        return self._url.render(view) if self._url else self.settings["url"]

    def headers_for(self, view: JsonObject) -> list[tuple[str, str]]:
        """Fill the headers' templates. Raises Permanent."""
        return [(name, " ".join(template.render(view).split())) for name, template in self._headers]


def _scheme_of(signature: JsonObject) -> "SignatureScheme":
    from shared.signatures.digest_scheme import DigestScheme  # few webhooks have a layout of their own
    from shared.signatures.signature_scheme import HmacScheme

    entry: JsonObject = {name: value for name, value in signature.items() if value is not None}
    return HmacScheme.read(entry) if entry["scheme"] == "hmac" else DigestScheme.read(entry)


def _auth_of(written: Sequence[JsonObject]) -> "tuple[AnyRequestAuth, ...]":
    if not written:
        return ()
    from shared.outgoing.auth import read_request_auth  # with pydantic

    return read_request_auth(written)


CONTENT_TYPES: Final[dict[Format, str]] = {
    "json": "application/json",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
    "cloudevents": "application/cloudevents+json; charset=utf-8",
    "cloudevents-binary": "application/json",
}
_UNQUOTED: Final = "!#$&'()*+,-./:;<=>?@[]^_`{|}~\\"
"""What stays as it is in a header of CloudEvents' HTTP binding: printable ASCII but space, `"` and `%`."""

Body = tuple[bytes, list[tuple[str, str]]]
"""The content, and its headers."""


def body_of(event: Event, webhook: PreparedWebhook, view: JsonObject) -> Body:
    """Raises Permanent."""
    if not webhook.has_body:
        return b"", []
    settings = webhook.settings
    try:
        return _written(event, settings, view)
    except Unwritable as fault:
        raise Permanent("conversion_failed", f"the body as {settings['format']}: {fault.message('data')}") from None


def _written(event: Event, settings: WebhookSettings, view: JsonObject) -> Body:
    content_type = CONTENT_TYPES[settings["format"]]
    if settings["body"] is not None:
        return _from_template(settings, view), [("content-type", content_type)]
    if settings["format"] == "text":
        return _text(event, content_type)
    data = _with_fields(event.data, settings, view)
    match settings["format"]:
        case "xml":
            from shared.writers.xml_writer import write_xml  # with its parser

            text = write_xml(data, settings["root"])
        case "yaml":
            from shared.writers.yaml_writer import write_yaml

            text = write_yaml(data)
        case "form":
            text = write_form(data)
        case "cloudevents":
            text = to_json(public_cloudevent(replace(event, data=data)))
        case "cloudevents-binary":
            return _encoded(to_json(data)), [*_binary_headers(event), ("content-type", content_type)]
        case _:
            text = to_json(data)
    return _encoded(text), [("content-type", content_type)]


def _encoded(text: str) -> bytes:
    """Encode the text. Half a surrogate pair, which a sender may have written, becomes a question mark."""
    return text.encode("utf-8", "replace")


def _from_template(settings: WebhookSettings, view: JsonObject) -> bytes:
    """Return the filled template; of JSON, with the fields, if it is JSON."""
    text = rendered("body", settings["body"] or "", view)
    if settings["format"] != "json":
        return _encoded(text)
    try:
        value = json_in(text)
    except (ValueError, RecursionError) as error:
        rule = "must result in JSON; write values as {{ data.name | tojson }}, or use `format: text`"
        raise Permanent("invalid_output", f"template 'body': {rule}") from error
    return _encoded(to_json(_with_fields(value, settings, view))) if settings["fields"] else _encoded(text)


def _with_fields(data: Json, settings: WebhookSettings, view: JsonObject) -> Json:
    if not settings["fields"]:
        return data
    if not isinstance(data, dict):
        raise Permanent("path_conflict", f"fields: need an object to be added to, and the data is {kind_of(data)}")
    if repeated := sorted(data.keys() & settings["fields"].keys()):
        rule = f"the event has a field {repeated[0]!r} of its own, which `fields` may not replace"
        raise Permanent("path_conflict", f"fields: {rule}. Rename one of them")
    added = {name: _field(f"fields.{name}", value, view) for name, value in settings["fields"].items()}
    return {**data, **added}


def _field(name: str, value: Json, view: JsonObject) -> Json:
    return rendered(name, value, view) if isinstance(value, str) and is_template(value) else value


def _text(event: Event, content_type: str) -> Body:
    """Return text and bytes as they are, under the type that a step noted for them; anything else as JSON."""
    data = event.data
    if found := bytes_in(data):
        return found[0], [("content-type", found[1])]
    written_type = event.datatype if isinstance(data, str) and event.datatype else content_type
    return _encoded(write_text(data)), [("content-type", written_type)]


def _binary_headers(event: Event) -> list[tuple[str, str]]:
    """https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#31-binary-content-mode"""
    attributes = public_cloudevent(replace(event, data=None))
    return [
        (f"ce-{name}", quote(str(value).encode("utf-8", "replace"), safe=_UNQUOTED))
        for name, value in attributes.items()
        if name not in ("data", "datacontenttype")
    ]


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
