"""The settings of a webhook as its requests use them, read from the slice: without pydantic, which takes 45 ms."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, TypedDict

from shared.jsontext import JsonObject
from shared.templates import Template, is_template, one_line_template

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
