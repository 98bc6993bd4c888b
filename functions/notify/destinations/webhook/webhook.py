"""The destination `webhook`: a request to any system, in the format and with the signature that its receiver expects.

`request` and `outcome` are the interface of a kind (http_kind.py). The settings come from the slice as JSON, which
settings.py validated: notify does not import pydantic for a webhook, which would take 45 ms of its start.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypedDict
from urllib.parse import quote

from functions.notify import http_kind
from functions.notify.destination import Attempt
from functions.notify.event_content import bytes_in, public_cloudevent
from functions.notify.http_kind import OutgoingRequest, Response, SecretValues
from shared.delivery import Delivery, Outcome, RetryLater
from shared.errors import Permanent, Rejected
from shared.event import Event, oneline
from shared.fetch import Tls
from shared.http import Request
from shared.jsontext import Json, JsonObject, kind_of, to_json
from shared.signatures.signing import MAX_SIGNATURES, standard_content, standard_signature
from shared.templating.template import Template, is_template, one_line_template
from shared.writers.text_writers import write_form, write_text
from shared.writers.writing import Unwritable

if TYPE_CHECKING:
    from shared.outgoing.auth import AnyRequestAuth
    from shared.signatures.signature_scheme import SignatureScheme

Format = Literal["json", "xml", "yaml", "form", "text", "cloudevents", "cloudevents-binary"]

DEDUPES_REPEATS: Final = True
"""`webhook-id` is the same in every attempt, and a receiver uses it as idempotency key (Standard Webhooks)."""
BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""Methods that send no body, unless `body` names one for DELETE."""
CONTENT_TYPES: Final[dict[Format, str]] = {
    "json": "application/json",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
    "cloudevents": "application/cloudevents+json; charset=utf-8",
    "cloudevents-binary": "application/json",
}
MAX_SEARCHED_BYTES: Final = 4_096
"""How much of a response is searched for the title of an HTML page."""
MAX_TITLE_CHARACTERS: Final = 80
_ADVICE: Final = {
    400: "its answer may say what is wrong with the body or headers (`body`, `format`, `headers`)",
    401: "it requires credentials, or different ones: correct `auth` or its secret",
    403: "it does not allow this with these credentials: correct `auth`, `secret` or the rights there",
    404: "there is nothing at this address: correct `url`",
    405: "it requires another method there: correct `method` or `url`",
    413: "the body is too large for it: send less, for example with a `body` of your own",
    415: "it requires another content type: set `format`",
    422: "its answer may say what is wrong with the body (`body`, `format`)",
    429: "it limits how often it is called: set `rate`",
}
"""What the operator can do about a status of the receiver."""
_TITLE: Final = re.compile(r"<title[^>]*>([^<]+)", re.IGNORECASE)
_UNQUOTED: Final = "!#$&'()*+,-./:;<=>?@[]^_`{|}~\\"
"""What stays as it is in a header of CloudEvents' HTTP binding: printable ASCII but space, `"` and `%`."""


class WebhookSettings(TypedDict):
    """A destination's settings as the slice has them. settings.py says what each means."""

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
    """The settings, with everything that is the same for each event: compiled templates and the signature's scheme.

    has_body          whether a request has a body
    scheme            the layout of `signature`, None without one; `signature_secret` names its secret
    is_template_free  the body is the event's data as JSON, and no template is filled. The engine then sets no bound
                      to the time of templates, and no view of the event is made
    """

    def __init__(self, settings: WebhookSettings) -> None:
        """Raises ValueError for a text that is no template."""
        url_text = settings["url"]
        signature = settings["signature"]
        self.settings = settings
        self.has_body = settings["method"] not in BODILESS or settings["body"] is not None
        self.scheme = None if signature is None else _scheme_of(signature)
        self.signature_secret = "" if signature is None else str(signature["secret"])
        self.auth = _auth_of(settings["auth"])
        self._url = Template("url", url_text, url=True) if is_template(url_text) else None
        self._headers = {name: one_line_template(name, text) for name, text in settings["headers"].items()}
        has_own_body = settings["body"] is not None or bool(settings["fields"])
        uses_view = self._url is not None or bool(self._headers) or has_own_body or self.scheme is not None
        self.is_template_free = settings["format"] == "json" and not uses_view

    def url_for(self, view: JsonObject) -> str:
        """Fill the URL's template. Raises Permanent."""
        return self._url.render(view) if self._url else self.settings["url"]

    def headers_for(self, view: JsonObject) -> dict[str, str]:
        """Fill the headers' templates. Raises Permanent."""
        return {name: " ".join(template.render(view).split()) for name, template in self._headers.items()}


class _Draft(NamedTuple):
    """A request that is being made. A header that is set twice keeps the last value."""

    url: str
    headers: dict[str, str]
    body: bytes


def read_settings(compiled: WebhookSettings) -> PreparedWebhook:
    return PreparedWebhook(compiled)


def request(delivery: Delivery, webhook: PreparedWebhook, secrets: SecretValues, attempt: Attempt) -> OutgoingRequest:
    """Return the signed request of a delivery. The engine adds the schemes of `auth`, which may need the network.

    Raises Permanent if this event can never become such a request, and Temporary (`secret_unusable`) if a secret
    cannot sign or is no certificate.
    """
    settings = webhook.settings
    view: JsonObject = {} if webhook.is_template_free else http_kind.template_view(delivery)
    body, body_headers = webhook_body(delivery.event, webhook, view)
    # The operator's headers may replace those of the body, and none may replace Hookchain's own.
    headers = body_headers | webhook.headers_for(view) | _own_headers(delivery.event, attempt)
    unsigned = _Draft(webhook.url_for(view), headers, body)
    # A layout may put its signature, time and id into the URL or the body, which Standard Webhooks then covers.
    in_layout = _signed_in_layout(unsigned, webhook, secrets, attempt)
    signed = _signed_by_standard(in_layout, settings["secret"], secrets, attempt)
    return OutgoingRequest(
        settings["method"],
        signed.url,
        tuple(signed.headers.items()),
        signed.body,
        webhook.auth,
        settings["allow_private"],
        _tls(settings, secrets),
    )


def outcome(response: Response) -> Outcome:
    """Return the outcome. Any status other than 2xx and 410 is retried: a receiver's fault is often fixed."""
    outcome = http_kind.outcome_by_status(response, "the receiver")
    advice = _ADVICE.get(response.status)
    if advice and isinstance(outcome, RetryLater):
        return replace(outcome, reason=f"{outcome.reason}: {advice}")
    return outcome


def doubt_of(response: Response) -> str | None:
    """Return a warning if the response says that it is no success, or is an HTML page.

    An API rarely returns a page, and a login form always is one.
    """
    for name in ("ok", "success"):
        if f'"{name}"'.encode() in response.body and response.member(name) is False:
            rule = f"which often means that nothing was accepted: set `success_when: body.{name}`"
            return f'the receiver answered {response.status} with "{name}": false, {rule}'
    content_type = response.header("content-type") or ""
    beginning = response.body[:MAX_SEARCHED_BYTES]
    if "html" not in content_type.lower() or b"<html" not in beginning.lower():
        return None
    title_element = _TITLE.search(beginning.decode("utf-8", "replace"))
    title = oneline(title_element[1]).strip()[:MAX_TITLE_CHARACTERS] if title_element else ""
    page = f"an HTML page (title {title!r})" if title else "an HTML page"
    rule = "which is often a login page: check the URL or set `success_when`"
    return f"the receiver answered {response.status} with {page}, {rule}"


def webhook_body(event: Event, webhook: PreparedWebhook, view: JsonObject) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers that describe it; both are empty for a method without a body.

    Raises Permanent: `conversion_failed` for data that the format cannot hold, `path_conflict` for `fields` that the
    event already has, and what a template raises.
    """
    settings = webhook.settings
    if not webhook.has_body:
        return b"", {}
    try:
        if settings["body"] is not None:
            content = _from_template(settings["body"], settings, view)
            return content, {"content-type": CONTENT_TYPES[settings["format"]]}
        if settings["format"] == "text":
            return _text_body(event)
        return _data_body(event, settings, view)
    except Unwritable as fault:
        raise Permanent("conversion_failed", f"the body as {settings['format']}: {fault.message('data')}") from None


def _data_body(event: Event, settings: WebhookSettings, view: JsonObject) -> tuple[bytes, dict[str, str]]:
    """Return the event's data with the fields, in any format but text."""
    data = _with_fields(event.data, settings, view)
    headers = {"content-type": CONTENT_TYPES[settings["format"]]}
    match settings["format"]:
        case "xml":
            # Imported here, because it imports a parser, which few webhooks need.
            from shared.writers.xml_writer import write_xml

            return _encoded(write_xml(data, settings["root"])), headers
        case "yaml":
            # Imported here, because few webhooks send YAML.
            from shared.writers.yaml_writer import write_yaml

            return _encoded(write_yaml(data)), headers
        case "form":
            return _encoded(write_form(data)), headers
        case "cloudevents":
            return _encoded(to_json(public_cloudevent(replace(event, data=data)))), headers
        case "cloudevents-binary":
            return _encoded(to_json(data)), _cloudevents_headers(event) | headers
        case _:
            return _encoded(to_json(data)), headers


def _text_body(event: Event) -> tuple[bytes, dict[str, str]]:
    """Return text and bytes unchanged, with the type that a step noted for them; anything else as JSON."""
    data = event.data
    if typed_bytes := bytes_in(data):
        content, bytes_type = typed_bytes
        return content, {"content-type": bytes_type}
    text_type = event.datatype if isinstance(data, str) else None
    return _encoded(write_text(data)), {"content-type": text_type or CONTENT_TYPES["text"]}


def _from_template(text: str, settings: WebhookSettings, view: JsonObject) -> bytes:
    """Return the filled template. With `format: json` it must be JSON, to which the fields are added."""
    filled = http_kind.rendered("body", text, view)
    if settings["format"] != "json":
        return _encoded(filled)
    try:
        value = http_kind.json_in(filled)
    except (ValueError, RecursionError) as error:
        advice = "write values as {{ data.name | tojson }}, without quotes around them, or use `format: text`"
        rule = f"must result in JSON; {advice}"
        raise Permanent("invalid_output", f"template 'body': {rule}") from error
    if not settings["fields"]:
        return _encoded(filled)  # as the operator wrote it, with its spaces
    return _encoded(to_json(_with_fields(value, settings, view)))


def _with_fields(data: Json, settings: WebhookSettings, view: JsonObject) -> Json:
    """Return the data with the filled `fields`."""
    fields = settings["fields"]
    if not fields:
        return data
    if not isinstance(data, dict):
        raise Permanent("path_conflict", f"fields: need an object to be added to, and the data is {kind_of(data)}")
    if repeated := sorted(data.keys() & fields.keys()):
        rule = f"the event has a field {repeated[0]!r} of its own, which `fields` may not replace"
        raise Permanent("path_conflict", f"fields: {rule}. Rename one of them")
    filled: JsonObject = {
        name: http_kind.rendered(f"fields.{name}", value, view)
        if isinstance(value, str) and is_template(value)
        else value
        for name, value in fields.items()
    }
    return {**data, **filled}


def _encoded(text: str) -> bytes:
    """Encode the text. Half a surrogate pair, which a sender may have written, becomes a question mark."""
    return text.encode("utf-8", "replace")


def _own_headers(event: Event, attempt: Attempt) -> dict[str, str]:
    """Return the headers of every webhook. receive ends a loop by `hookchain-hops`."""
    return {
        "hookchain-hops": str(event.hops + 1),
        "webhook-id": attempt.idempotency_key,
        "webhook-timestamp": str(int(attempt.now)),
    }


def _cloudevents_headers(event: Event) -> dict[str, str]:
    """https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#31-binary-content-mode"""
    attributes = public_cloudevent(replace(event, data=None))
    return {
        f"ce-{name}": quote(str(value).encode("utf-8", "replace"), safe=_UNQUOTED)
        for name, value in attributes.items()
        if name not in ("data", "datacontenttype")
    }


def _signed_in_layout(draft: _Draft, webhook: PreparedWebhook, secrets: SecretValues, attempt: Attempt) -> _Draft:
    """Return the request with the signature of `signature`; unchanged without one."""
    if webhook.scheme is None:
        return draft
    # Imported here, because few webhooks have a signature layout of their own.
    from shared.signatures.content_signing import ContentSigner, sign_content

    path, _, query = draft.url.partition("?")
    unsigned = Request(webhook.settings["method"], path, query, tuple(draft.headers.items()), draft.body)
    keys = secrets[webhook.signature_secret][:MAX_SIGNATURES]
    signer = ContentSigner(keys, _url_of, attempt.now, attempt.idempotency_key)
    try:
        signed = sign_content(unsigned, webhook.scheme, signer)
    except Rejected as error:
        raise Permanent("undefined_field", f"signature: {error.detail}") from error
    except (ValueError, RecursionError) as error:
        raise Permanent("conversion_failed", "signature: the body cannot hold what the layout puts into it") from error
    return _Draft(_url_of(signed), dict(signed.headers), signed.body)


def _signed_by_standard(draft: _Draft, secret: str | None, secrets: SecretValues, attempt: Attempt) -> _Draft:
    """Return the request with a signature by each value of the secret; unchanged without one."""
    if secret is None:
        return draft
    content = standard_content(attempt.idempotency_key.encode(), int(attempt.now), draft.body)
    try:
        signatures = [standard_signature(content, key) for key in secrets[secret][:MAX_SIGNATURES]]
    except ValueError as error:
        raise http_kind.unusable_secret(secret, f"cannot sign ({error})") from error
    return draft._replace(headers=draft.headers | {"webhook-signature": " ".join(signatures)})


def _tls(settings: WebhookSettings, secrets: SecretValues) -> Tls | None:
    """Return the client's certificate and the server's authorities; None for the system's. Raises Temporary."""
    authorities = settings["authorities"]
    secret = settings["certificate_secret"]
    if secret is None:
        return Tls(authorities=authorities) if authorities else None
    blocks = secrets[secret]
    private_keys = [block for block in blocks if "PRIVATE KEY-----" in block]
    certificates = [block for block in blocks if "-----BEGIN CERTIFICATE-----" in block]
    if not certificates or len(private_keys) != 1:
        raise http_kind.unusable_secret(secret, "must hold a client certificate and its private key, both PEM")
    return Tls("".join(certificates), private_keys[0], authorities or "")


def _url_of(signed: Request) -> str:
    return f"{signed.path}?{signed.query}" if signed.query else signed.path


def _scheme_of(signature: JsonObject) -> "SignatureScheme":
    # Imported here, because few webhooks have a signature layout of their own.
    from shared.signatures.auth_scheme import SchemeEntry
    from shared.signatures.signature_scheme import SCHEMES

    settings: JsonObject = {name: value for name, value in signature.items() if value is not None}
    return SCHEMES[str(settings["scheme"])].read(SchemeEntry(settings))


def _auth_of(schemes: Sequence[JsonObject]) -> "tuple[AnyRequestAuth, ...]":
    if not schemes:
        return ()
    # Imported here, because it imports pydantic, which is slow.
    from shared.outgoing.auth import read_request_auth

    return read_request_auth(schemes)
