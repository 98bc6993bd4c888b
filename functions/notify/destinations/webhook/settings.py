"""The settings of the destination `webhook`, validated when the configuration is compiled."""

import re
from typing import Annotated, ClassVar, Final, Literal, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PrivateAttr, model_validator

from functions.notify.destinations.webhook.body import Format
from functions.notify.destinations.webhook.webhook import BODILESS, PreparedWebhook, WebhookSettings
from shared import errors, event
from shared.config import rules, signed, values
from shared.outgoing.allowed_urls import read_target
from shared.outgoing.auth import AnyRequestAuth
from shared.outgoing.request_headers import verify_headers
from shared.templating.template import Template, is_template
from shared.writers.xml_writer import NAME_RULE, is_xml_name

_ORIGIN: Final = re.compile(r"https?://[^/?#{}]+(?=[/?]|$)")
"""The part of a URL that must not be a template: `https://crm.example.com` in `https://crm.example.com/{{ id }}`."""
_OWN_HEADERS: Final = frozenset({"hookchain-hops", "webhook-id", "webhook-timestamp", "webhook-signature"})
_BODY_FORMATS: Final = {"data": "json", "form": "form"}
"""The `format` that a location in the body needs, by the beginning of the location: `data.sig` needs `json`."""


def _default_scheme(value: object) -> object:
    return {"scheme": "hmac", **value} if isinstance(value, dict) else value


class Settings(BaseModel):
    """A webhook: an HTTP request in any format, signed as its receiver expects.

    url            begins with https:// and a literal host; may be a template, whose values are percent-encoded
    method         GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS
    format         json, xml, yaml, form or text: the event's data; cloudevents or cloudevents-binary: the whole event
    root           XML: the name of the outermost element
    body           a template for the body, in place of the event's data
    fields         fields that are added to the body, which may be templates; none may replace one of the event's
    headers        further headers, which may be templates
    secret         the name of a key that signs by Standard Webhooks: `whsec_…` (v1) or `whsk_…` (v1a)
    signature      a signature in any layout that a source can verify: `header`, `algorithm`, `encoding`, `prefix`,
                   `content` … as for `scheme: hmac` (or `digest`) of a source, and its `secret`
    auth           one scheme or a list: basic, bearer, header, query, google, oauth2, aws …
    allow_private  allow private addresses and plain http
    certificate_secret  the name of a client certificate and its private key, both PEM
    authorities    the certificates (PEM, or `{file: NAME}`) that the server's must come from, in place of the system's
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    extras: ClassVar[tuple[str, ...]] = ("crypto",)  # a `whsk_` secret signs with Ed25519

    url: Annotated[str, Field(min_length=1)]
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "POST"
    format: Format = "json"
    root: str = "event"
    body: str | None = None
    fields: dict[str, JsonValue] = {}
    headers: dict[values.HeaderName, str] = {}
    secret: rules.SecretName | None = None
    signature: (
        Annotated[signed.HmacAuth | signed.DigestAuth, Field(discriminator="scheme"), BeforeValidator(_default_scheme)]
        | None
    ) = None
    auth: Annotated[list[AnyRequestAuth], BeforeValidator(rules.listed)] = []
    allow_private: bool = False
    certificate_secret: rules.SecretName | None = None
    authorities: Annotated[str, Field(pattern=r"^-----BEGIN CERTIFICATE-----\s")] | None = None

    _prepared: PreparedWebhook = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._prepared = PreparedWebhook(cast("WebhookSettings", self.model_dump(mode="json")))

    @model_validator(mode="after")
    def _url_is_allowed(self) -> Self:
        origin = _ORIGIN.match(self.url)
        if origin is None:
            raise ValueError("url: must begin with https:// and a literal host; templates may follow")
        if "#" in self.url:
            raise ValueError("url: must not have a fragment (`#…`), which is never sent; take it out")
        # Of a template, only the host is known now. The whole URL is checked when it has been filled.
        known_url = f"{origin[0]}/" if is_template(self.url) else self.url
        try:
            read_target(known_url, self.allow_private)
        except errors.Permanent as fault:
            raise ValueError(f"url: {fault.detail}") from fault
        return self

    @model_validator(mode="after")
    def _headers_are_allowed(self) -> Self:
        for name, text in self.headers.items():
            if name in _OWN_HEADERS:
                raise ValueError(f"headers: {name!r} is set by Hookchain itself; take it out")
            known_value = "x" if is_template(text) else text  # the value of a template is checked when it is filled
            try:
                verify_headers([(name, known_value)])
            except errors.Permanent as fault:
                raise ValueError(f"headers: {fault.detail}") from fault
            if "\n" in text or "\r" in text:
                raise ValueError(f"headers: {name!r} has a line break; write it on one line")
        return self

    @model_validator(mode="after")
    def _body_fits(self) -> Self:
        if self.body is not None:
            Template("body", self.body)
            if self.method in BODILESS and self.method != "DELETE":  # a DELETE request has a body if `body` is set
                raise ValueError(f"body: a {self.method} request has none; use POST, or put the values into the URL")
            if self.format.startswith("cloudevents"):
                raise ValueError("body: in CloudEvents the body is the event; change it with the route's steps")
        if self.fields and not self._prepared.has_body:
            raise ValueError(f"fields: a {self.method} request has no body to add them to; use POST")
        if self.fields and (self.format == "text" or (self.body is not None and self.format != "json")):
            raise ValueError("fields: cannot be added to a text; write them into `body`, or use `format: json`")
        if not is_xml_name(self.root):
            raise ValueError(f"root: must be a name for an XML element: {NAME_RULE}; got {self.root!r}")
        for name, value in self.fields.items():
            if isinstance(value, str):
                Template(f"fields.{name}"[: event.MAX_ATTRIBUTE_CHARACTERS], value)
        return self

    @model_validator(mode="after")
    def _signature_fits(self) -> Self:
        """Verify that the request has the places into which the signature, its time and its id are written."""
        signature = self.signature
        if signature is None:
            return self
        if signature.when is not None or signature.variant is not None:
            raise ValueError("signature: `when` and `variant` are for what is received; take them out")
        layout = self._prepared.layout
        assert layout is not None  # `signature` is set
        # The timestamp can be in the signature's header, as a pair beside the signatures: `t=…,v1=…`.
        is_pair = layout.timestamp is not None and layout.timestamp.kind == "signature"
        if is_pair and signature.unit == "http-date" and "," in layout.separator:
            raise ValueError("signature: an HTTP date has a comma, which separates the pairs; choose another `unit`")
        for location in (layout.at, layout.timestamp, layout.id, layout.body_digest, layout.each):
            if location is None or location.kind not in _BODY_FORMATS:
                continue
            body_format = _BODY_FORMATS[location.kind]
            if body_format != self.format:
                raise ValueError(f"signature: {location} is a place in the body of `format: {body_format}`")
        return self
