"""The requests that the kind `webhook` makes and signs, without a server."""

import base64
import json
import time
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from cloudevents.http import from_http
from hypothesis import given, strategies as st
from standardwebhooks import Webhook
from svix.webhooks import Webhook as SvixWebhook

from functions.notify.destination import Destination
from functions.notify.destinations.webhook import webhook
from functions.notify.destinations.webhook.settings import Settings
from functions.notify.examples import ATTEMPT, KEY, NOW, compile_settings, example_delivery
from functions.notify.http_kind import OutgoingRequest
from functions.notify.registry import DeliveryOptions, Destinations
from shared.delivery import Delivered, RetryLater
from shared.errors import Permanent, Rejected
from shared.fetch import Fetched, Tls
from shared.formats.parse import parse_body
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.outgoing.request_headers import verify_headers
from shared.signatures.auth_scheme import AuthScheme, read_scheme
from shared.signatures.locations import RequestFields
from tests.fakes.destinations import a_context
from tests.fakes.fetch import FakeFetch
from tests.unit.notify.http_kinds import HOSTILE, outcome_of, request_of

URL = "https://crm.example.com/in"
DATA: JsonObject = {"name": "Ada <b>", "tags": ["a", "b"], "count": 3}
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def made(data: Json = DATA, **settings: Json) -> OutgoingRequest:
    return request_of(webhook, {"url": URL, **settings}, data, {"s": SIGNING})


def header(request: OutgoingRequest, name: str) -> str | None:
    return dict(request.headers).get(name)


@pytest.mark.parametrize("format_name", ["json", "xml", "yaml", "form"])
def test_what_is_sent_in_a_format_is_read_back_by_receives_parser(format_name: str) -> None:
    data: JsonObject = {"name": "Ada <b>", "tags": ["a", "b"]}
    request = made(data, format=format_name)
    parsed = parse_body(request.body, header(request, "content-type")).data
    assert parsed == ({"event": data} if format_name == "xml" else data)


def test_text_and_bytes_that_a_step_wrote_go_out_under_their_own_type() -> None:
    delivery = example_delivery("<a/>")
    delivery = replace(delivery, event=replace(delivery.event, datatype="application/xml"))
    text = request_of(webhook, {"url": URL, "format": "text"}, delivery)
    assert (text.body, header(text, "content-type")) == (b"<a/>", "application/xml")
    image = made({"type": "image/png", "size": 3, "base64": "AAEC"}, format="text")
    assert (image.body, header(image, "content-type")) == (b"\x00\x01\x02", "image/png")


@pytest.mark.parametrize("format_name", ["cloudevents", "cloudevents-binary"])
def test_a_cloudevent_is_one_by_the_specifications_own_library(format_name: str) -> None:
    delivery = example_delivery(DATA)
    hostile = replace(delivery.event, subject='Zoë "%" 💡', rawbody="raw", signedas="x")
    request = request_of(webhook, {"url": URL, "format": format_name}, replace(delivery, event=hostile))
    event = from_http(dict(request.headers), request.body)
    assert (event["id"], event["type"], event["source"], event.data) == ("e1", "order.created", "/sources/shop", DATA)
    assert "rawbody" not in event.get_attributes()
    assert b"rawbody" not in request.body
    if format_name == "cloudevents":
        assert event["subject"] == 'Zoë "%" 💡'
    else:
        assert header(request, "ce-subject") == "Zo%C3%AB%20%22%25%22%20%F0%9F%92%A1"


def test_a_template_makes_the_body() -> None:
    assert made(body="{{ data.name }}!", format="text").body == b"Ada <b>!"
    assert made(body='{"n": {{ data.name | tojson }}}', fields={"id": "{{ id }}"}).body == b'{"n":"Ada <b>","id":"e1"}'


@pytest.mark.parametrize("name", ["json", "yaml", "form", "text", "cloudevents", "cloudevents-binary"])
def test_half_a_surrogate_pair_goes_out_as_a_question_mark_in_every_format(name: str) -> None:
    request = made({"a": "\ud800"}, format=name)
    assert b"?" in request.body or b"%3F" in request.body


def test_fields_are_added_and_replace_none_of_the_events() -> None:
    request = made(fields={"origin": "hookchain", "kind": "{{ type }}", "nested": {"n": 1}})
    added = {"origin": "hookchain", "kind": "order.created", "nested": {"n": 1}}
    assert json.loads(request.body) == {**DATA, **added}
    assert parse_qs(made(format="form", fields={"k": "{{ type }}"}).body)[b"k"] == [b"order.created"]
    assert yaml.safe_load(made(format="yaml", fields={"k": 1}).body)["k"] == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_a_method_without_a_body_sends_none_and_no_type(method: str) -> None:
    request = made(method=method)
    assert (request.method, request.body, header(request, "content-type")) == (method, b"", None)
    assert made(method="DELETE", body="{}").body == b"{}"


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_value_without_a_name_may_be_in_a_query_but_be_no_segment_of_a_path(value: str) -> None:
    url = "https://crm.example.com/in{{ data.id }}x?a={{ data.id }}"
    assert made({"id": value}, url=url).url == f"https://crm.example.com/in{value}x?a={value}"
    for path in ("{{ data.id }}", "{{ data.id }}{{ data.none | default('') }}", "{{ data.dot }}{{ data.id[1:] }}"):
        with pytest.raises(Permanent, match="path must not be empty"):
            made({"id": value, "dot": "."}, url=f"https://crm.example.com/in/{path}/x?a=b")


@given(st.text(min_size=1))
def test_a_value_of_the_event_stays_one_segment_of_the_url(text: str) -> None:
    try:
        request = made({"id": text}, url="https://crm.example.com/in/{{ data.id }}?a={{ data.id }}")
    except (Permanent, UnicodeEncodeError) as error:
        assert not isinstance(error, Permanent) or error.code == "invalid_url"
        return
    path, _, query = request.url.removeprefix("https://crm.example.com/in/").partition("?")
    assert not {*"/?#\\ \r\n"} & {*path, *query}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_header_from_a_template_is_one_line(text: str) -> None:
    request = made({"text": text}, headers={"X-Text": "{{ data.text }}"})
    value = header(request, "x-text")
    assert value is not None
    assert not {*"\r\n"} & {*value}
    try:
        verify_headers(request.headers)
    except Permanent as error:
        assert error.code == "invalid_header"


def test_the_id_is_the_same_in_each_attempt_and_the_time_is_new_and_hops_count() -> None:
    delivery = example_delivery(DATA)
    delivery = replace(delivery, event=replace(delivery.event, hops=3))
    first, second = (dict(request_of(webhook, {"url": URL}, delivery, now=now).headers) for now in (NOW, NOW + 5))
    assert first["webhook-id"] == second["webhook-id"] == KEY
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 5
    assert first["hookchain-hops"] == "4"


LOGIN_PAGE = b"<!DOCTYPE html>\n<html><head><title>\n Sign in </title></head><body><form></form></body></html>"


@pytest.mark.parametrize(
    ("status", "body", "act"),
    [
        *((status, b"", "; redirects are not followed: set `url`") for status in (302, 308)),
        *(
            (401, body, ": it requires credentials or a signature, or others than these: correct `auth` or `secret`")
            for body in (b"", LOGIN_PAGE)
        ),
        (
            403,
            b"",
            ": it does not allow this. If it needs credentials, correct `auth`, `secret` or the",
        ),
        (403, LOGIN_PAGE, ": its answer is an HTML page, which often comes from a firewall or proxy"),
        (404, b"", ": there is nothing at this address: correct `url`"),
        (405, b"", ": it requires another method there: correct `method`"),
        (500, b"", ""),
    ],
)
def test_a_status_comes_with_what_the_operator_can_do(status: int, body: bytes, act: str) -> None:
    outcome = outcome_of(webhook, status, body, content_type="text/html")
    assert isinstance(outcome, RetryLater)
    advice = outcome.reason.removeprefix(f"the receiver answered {status}")
    assert advice.startswith(act) if act else not advice


@pytest.mark.parametrize(
    ("location", "place", "answer"),
    [
        ("/in/", "the same URL with a slash at its end", "301 /in/"),
        (
            "https://www.example.com/in?a=1",
            "the same path at https://www.example.com",
            "301 https://www.example.com/in",
        ),
        (
            "https://sso.example.com/login",
            "another server, https://sso.example.com",
            "301 https://sso.example.com/login",
        ),
        ("https://u:p@sso.example.com/login", "another server, https://sso.example.com", "301"),
        ("/elsewhere", "another path of https://crm.example.com", "301 /elsewhere"),
        (
            "https://crm.example.com:8443/x",
            "another server, https://crm.example.com:8443",
            "301 https://crm.example.com:8443/x",
        ),
    ],
)
async def test_a_redirect_says_where_it_leads(location: str, place: str, answer: str) -> None:
    outcome = await connected(Fetched(301, (("location", location),), b"")).attempt(example_delivery(DATA), ATTEMPT)
    assert isinstance(outcome, RetryLater)
    assert f"it leads to {place}, so correct `url`" in outcome.reason
    assert outcome.answer == answer


async def test_a_304_is_no_redirect_even_with_an_address() -> None:
    fetched = Fetched(304, (("location", "https://other.example/x"),), b"")
    outcome = await connected(fetched).attempt(example_delivery(DATA), ATTEMPT)
    assert isinstance(outcome, RetryLater)
    assert outcome.reason.endswith("answered 304")
    assert outcome.answer == "304"


async def test_an_answer_that_denies_its_success_is_pointed_out() -> None:
    outcome = await connected(Fetched(200, (), b'{"ok": false}')).attempt(example_delivery(DATA), ATTEMPT)
    assert isinstance(outcome, Delivered)
    assert "set `success_when: body.ok`" in outcome.answer


def test_the_slice_has_the_settings_as_they_were_validated() -> None:
    settings = Settings.model_validate(
        {"url": URL, "secret": "s", "signature": {"header": "x-s", "secret": "t"}, "auth": {"scheme": "google"}}
    )
    written = settings.model_dump(mode="json", by_alias=True)
    assert Settings.model_validate(written).model_dump(mode="json", by_alias=True) == written


CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nMIIC\n-----END PRIVATE KEY-----\n"


def test_a_client_certificate_and_authorities_of_ones_own_go_with_the_request() -> None:
    settings: JsonObject = {"url": URL, "certificate_secret": "client", "authorities": CERTIFICATE}
    values = CERTIFICATE, CERTIFICATE, PRIVATE_KEY
    assert request_of(webhook, settings, DATA, {"client": values}).tls == Tls(CERTIFICATE * 2, PRIVATE_KEY, CERTIFICATE)
    assert made(authorities=CERTIFICATE).tls == Tls(authorities=CERTIFICATE)
    assert made().tls is None


HTML = (("content-type", "text/html; charset=utf-8"),)


def connected(response: Fetched, success_when: str | None = None) -> Destination:
    """Return the destination `crm`, whose receiver gives this response to each request."""
    settings = compile_settings(webhook, {"url": URL})
    crm = DeliveryOptions("crm", "webhook", settings, (), 15.0, "resend", success_when=success_when)
    return Destinations({}, a_context(fetch=FakeFetch({URL: response}))).connected(crm)


async def test_a_login_page_counts_as_delivered_and_is_pointed_out_in_the_attempt_and_once_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    crm = connected(Fetched(200, HTML, LOGIN_PAGE))
    outcomes = [await crm.attempt(example_delivery(DATA), ATTEMPT) for _ in range(2)]
    warning = (
        "the receiver answered 200 with an HTML page (title 'Sign in'), which is often a login page: "
        "check the URL or set `success_when`"
    )
    assert outcomes == [Delivered(warning)] * 2
    [line] = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["severity"], line["destination"], line["status"]) == ("WARNING", "crm", 200)
    assert "set `success_when`" in line["reason"]
    decided = connected(Fetched(200, HTML, LOGIN_PAGE), "status == `200`")
    json_ = connected(Fetched(200, (("content-type", "application/json"),), LOGIN_PAGE))
    for destination in (decided, json_):
        outcome = await destination.attempt(example_delivery(DATA), ATTEMPT)
        assert outcome.answer.startswith("200 ")
    assert capsys.readouterr().out == ""


SIGNED_URL = "https://crm.example.com/in?tenant=7"
OLD, NEW, OTHER = (f"whsec_{base64.b64encode(letter * 24).decode()}" for letter in (b"o", b"n", b"x"))
PRIVATE = f"whsk_{base64.b64encode(b'k' * 32).decode()}"
SECRETS = ("the-new-secret-of-the-crm", "the-old-secret-of-the-crm")
SIGNED_DATA: JsonObject = {"id": "o-17", "name": "Zoë", "items": [{"n": 1}, {"n": 2}]}


def received(request: OutgoingRequest) -> RequestFields:
    """The request as receive gets it."""
    parts = urlsplit(request.url)
    headers = (("host", parts.netloc), *request.headers)
    arrived = Request(request.method, parts.path, parts.query, headers, request.body)
    return RequestFields(arrived, request.url)


def signed(data: Json = SIGNED_DATA, *values: str, **settings: Json) -> OutgoingRequest:
    return request_of(webhook, {"url": SIGNED_URL, **settings}, data, {"s": values or SECRETS})


@pytest.mark.parametrize("values", [(NEW,), (NEW, OLD), (PRIVATE,), (PRIVATE, NEW)])
@pytest.mark.parametrize("format_name", ["json", "xml", "yaml", "form", "text", "cloudevents", "cloudevents-binary"])
def test_receive_accepts_a_standard_webhook_by_each_secret(values: tuple[str, ...], format_name: str) -> None:
    request = signed({"a": "b"}, *values, secret="s", format=format_name)
    scheme = read_scheme({"scheme": "standard-webhooks", "secret": "s"})
    for value in values:
        scheme.verify(received(request), [value], {}, NOW + 100)
    with pytest.raises(Rejected):
        scheme.verify(received(request), [OTHER], {}, NOW)


@pytest.mark.parametrize("library", [Webhook, SvixWebhook])
def test_the_libraries_of_receivers_accept_it_by_both_secrets(library: type[Webhook] | type[SvixWebhook]) -> None:
    now = time.time()  # they read the clock themselves
    request = request_of(webhook, {"url": SIGNED_URL, "secret": "s"}, SIGNED_DATA, {"s": (NEW, OLD)}, now=now)
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
    settings = Settings.model_validate({"url": SIGNED_URL, "format": format_name, "signature": signature})
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
    data: JsonObject = SIGNED_DATA if format_name == "json" else {"id": "o-17"}
    request = signed(data, value, format=format_name, signature={**signature, "secret": "s"})
    scheme_of({**signature, "secret": "s"}, format_name).verify(received(request), [value], {}, NOW)
