"""What the kind `webhook` signs, and who accepts it: receive's own schemes, and the libraries of receivers."""

import base64
import time
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from svix.webhooks import Webhook as SvixWebhook

from functions.notify.destinations.webhook import webhook
from functions.notify.destinations.webhook.settings import Settings
from functions.notify.http_kind import NOW, OutgoingRequest
from shared.errors import Rejected
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.signatures.auth_scheme import AuthScheme, read_scheme
from shared.signatures.locations import RequestFields
from tests.unit.notify.http_kinds import request_of

URL = "https://crm.example.com/in?tenant=7"
OLD, NEW, OTHER = (f"whsec_{base64.b64encode(letter * 24).decode()}" for letter in (b"o", b"n", b"x"))
PRIVATE = f"whsk_{base64.b64encode(b'k' * 32).decode()}"
SECRETS = ("the-new-secret-of-the-crm", "the-old-secret-of-the-crm")
DATA: JsonObject = {"id": "o-17", "name": "Zoë", "items": [{"n": 1}, {"n": 2}]}


def received(request: OutgoingRequest) -> RequestFields:
    """The request as receive gets it."""
    parts = urlsplit(request.url)
    headers = (("host", parts.netloc), *request.headers)
    arrived = Request(request.method, parts.path, parts.query, headers, request.body)
    return RequestFields(arrived, request.url)


def signed(data: Json = DATA, *values: str, **settings: Json) -> OutgoingRequest:
    return request_of(webhook, {"url": URL, **settings}, data, {"s": values or SECRETS})


@pytest.mark.parametrize("values", [(NEW,), (NEW, OLD), (PRIVATE,), (PRIVATE, NEW)])
@pytest.mark.parametrize("format_name", ["json", "xml", "yaml", "form", "text", "cloudevents", "cloudevents-binary"])
def test_receive_accepts_a_standard_webhook_by_each_value_of_its_secret(
    values: tuple[str, ...], format_name: str
) -> None:
    request = signed({"a": "b"}, *values, secret="s", format=format_name)
    scheme = read_scheme({"scheme": "standard-webhooks", "secret": "s"})
    for value in values:
        scheme.verify(received(request), [value], {}, NOW + 100)
    with pytest.raises(Rejected):
        scheme.verify(received(request), [OTHER], {}, NOW)


@pytest.mark.parametrize("library", [Webhook, SvixWebhook])
def test_the_libraries_of_receivers_accept_it_by_the_new_and_by_the_old_secret(
    library: type[Webhook] | type[SvixWebhook],
) -> None:
    now = time.time()  # they read the clock themselves
    request = request_of(webhook, {"url": URL, "secret": "s"}, DATA, {"s": (NEW, OLD)}, now=now)
    for secret in (NEW, OLD):
        library(secret).verify(request.body, dict(request.headers))
    with pytest.raises(Exception, match=r"(?i)signature"):
        library(OTHER).verify(request.body, dict(request.headers))


LAYOUTS: list[JsonObject] = [
    {"layout": "plain"},
    {"layout": "pairs", "take": ["v1"], "timestamp": "signature.t", "content": "{timestamp}.{body}"},
    {"layout": "pairs", "take": ["sig"], "separator": "; "},
    {"layout": "versions", "take": ["v1"]},
    {"layout": "numbered", "header": "x-signature-{n}"},
    {"layout": "base64-json", "take": ["signature"]},
]
CONTENTS = ["{body}", "{body.sha256}", "{method}{url}{body}", "{id}.{timestamp}.{body}", "v0:{timestamp}:{body}"]


@st.composite
def signatures(draw: st.DrawFn) -> JsonObject:
    """A signature's settings, as a source may have them."""
    content = draw(st.sampled_from(CONTENTS))
    layout = draw(st.sampled_from(LAYOUTS))
    settings: JsonObject = {
        "header": "x-signature",
        "algorithm": draw(st.sampled_from(["sha256", "sha512", "sha384", "sha1", "md5"])),
        "encoding": draw(st.sampled_from(["hex", "base64", "base64url", "base64-of-hex"])),
        "content": content,
        "prefix": draw(st.sampled_from(["", "sha256=", "HMAC "])),
        "secret": "s",
    }
    if "{timestamp}" in content:
        settings["timestamp"] = "header.x-time"
        settings["unit"] = draw(st.sampled_from(["s", "ms", "rfc3339", "http-date"]))
    if "{id}" in content:
        settings["id"] = "header.webhook-id"
    if draw(st.booleans()):
        settings["body_digest"] = "header.x-digest"
    if layout.get("timestamp") == "signature.t":
        settings["unit"] = draw(st.sampled_from(["s", "ms", "rfc3339"]))
    return {**settings, **layout}


def scheme_of(signature: JsonObject, format_name: str = "json") -> AuthScheme:
    """The scheme by which a source with these settings verifies."""
    settings = Settings.model_validate({"url": URL, "format": format_name, "signature": signature})
    assert settings.signature is not None
    return read_scheme(settings.signature.model_dump(exclude_none=True))


@given(signature=signatures(), data=st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
def test_what_is_signed_in_any_layout_is_what_receive_accepts(signature: JsonObject, data: JsonObject) -> None:
    request = signed(data, *SECRETS, signature=signature)
    scheme = scheme_of(signature)
    scheme.verify(received(request), SECRETS[:1], {}, NOW + 60)
    if signature["layout"] in ("pairs", "versions", "numbered"):
        scheme.verify(received(request), SECRETS[1:], {}, NOW + 60)
    with pytest.raises(Rejected):
        scheme.verify(received(request), ["another-secret"], {}, NOW)


@pytest.mark.parametrize(
    ("signature", "format_name"),
    [
        ({"at": "query.signature", "content": "{timestamp}{body}", "timestamp": "query.at"}, "json"),
        ({"at": "data.signature", "content": "{data.id}"}, "json"),
        ({"at": "form.signature", "content": "{url}{form.id}"}, "form"),
        ({"at": "data.signature", "each": "data.items.*", "content": "{data.n}"}, "json"),
        ({"scheme": "digest", "header": "x-digest", "content": "{body}{secret}"}, "json"),
        ({"header": "x-signature", "key": "hex"}, "json"),
        ({"header": "x-signature", "key": "base64", "key_prefix": "key_"}, "json"),
    ],
)
def test_a_signature_elsewhere_than_in_a_header_is_accepted_too(signature: JsonObject, format_name: str) -> None:
    value = {"hex": "ab" * 20, "base64": "key_" + base64.b64encode(b"k" * 20).decode()}.get(
        str(signature.get("key")), SECRETS[0]
    )
    data: JsonObject = DATA if format_name == "json" else {"id": "o-17"}
    request = signed(data, value, format=format_name, signature={**signature, "secret": "s"})
    scheme_of({**signature, "secret": "s"}, format_name).verify(received(request), [value], {}, NOW)
