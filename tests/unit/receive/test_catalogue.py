"""The catalogue as a whole, and what a source takes from it."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import pytest
import yaml

from deploy.config.compiler import compile_config, secrets_needed
from deploy.config.config_file import ConfigFaults, ConfigFile
from deploy.config.sections.catalogue import CATALOGUE, SOURCES_SECRET, load_catalogue
from deploy.config.sections.source import SourceConfig
from deploy.config.warnings import provider_warnings
from deploy.requests.samples import Fresh, load_sample
from shared.event import Event
from shared.jsontext import Json, JsonObject
from tests.receiving import Receiving

NOW = 1_790_000_000
SECRET = "an-independent-secret-of-some-length"
URL = "https://hooks.example.com/hook"
BODY = b'{"a": 1, "text": "\xc3\xa9"}'
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Sent:
    """`query` is without its question mark; `stale_after` are seconds, where the sender says its time."""

    headers: dict[str, str]
    body: bytes = BODY
    query: str = ""
    secret: str = SECRET
    stale_after: float | None = None
    params: dict[str, str] = field(default_factory=dict)


def sha256(content: bytes, key: bytes = SECRET.encode()) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()


def sha1(content: bytes) -> bytes:
    return hmac.new(SECRET.encode(), content, hashlib.sha1).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def timed(text: str, between: bytes = b"") -> bytes:
    return text.encode() + between + BODY


def stripe_like(header: str, tolerance: float, time: str = "t", item: str = "v1", milliseconds: bool = False) -> Sent:
    at = str(NOW * 1000 if milliseconds else NOW)
    signature = sha256(timed(at, b".")).hex()
    return Sent(JSON | {header: f"{time}={at},{item}={signature}"}, stale_after=tolerance)


def standard(prefix: str, key: bytes, secret: str) -> Sent:
    content = f"msg_1.{NOW}.".encode() + BODY
    headers = {
        f"{prefix}-id": "msg_1",
        f"{prefix}-timestamp": str(NOW),
        f"{prefix}-signature": f"v1,{b64(sha256(content, key))}",
    }
    return Sent(JSON | headers, secret=secret, stale_after=300)


def items_with(token: str) -> Sent:
    return Sent(JSON, json.dumps({"value": [{"clientState": token, "changeType": "updated"}] * 2}).encode())


def basic(user: str = "hookchain") -> Sent:
    return Sent(JSON | {"Authorization": "Basic " + b64(f"{user}:{SECRET}".encode())})


def plain_hex(name: str, prefix: str = "") -> Callable[[], Sent]:
    return lambda: Sent(JSON | {name: prefix + sha256(BODY).hex()})


def plain_base64(name: str, prefix: str = "") -> Callable[[], Sent]:
    return lambda: Sent(JSON | {name: prefix + b64(sha256(BODY))})


def token(name: str, prefix: str = "") -> Callable[[], Sent]:
    return lambda: Sent(JSON | {name: prefix + SECRET})


KEY = bytes(range(24))
WHSEC = "whsec_" + b64(KEY)


def zoom() -> Sent:
    signature = "v0=" + sha256(f"v0:{NOW}:".encode() + BODY).hex()
    return Sent(JSON | {"x-zm-request-timestamp": str(NOW), "x-zm-signature": signature}, stale_after=300)


def slack() -> Sent:
    signature = "v0=" + sha256(f"v0:{NOW}:".encode() + BODY).hex()
    return Sent(JSON | {"X-Slack-Request-Timestamp": str(NOW), "X-Slack-Signature": signature}, stale_after=300)


def workos() -> Sent:
    at = str(NOW * 1000)
    return Sent(JSON | {"WorkOS-Signature": f"t={at}, v1={sha256(timed(at, b'.')).hex()}"}, stale_after=180)


def sanity() -> Sent:
    at = str(NOW * 1000)
    signature = base64.urlsafe_b64encode(sha256(timed(at, b"."))).decode().rstrip("=")
    return Sent(JSON | {"sanity-webhook-signature": f"t={at},v1={signature}"}, stale_after=300)


def paddle() -> Sent:
    signature = sha256(timed(str(NOW), b":")).hex()
    return Sent(JSON | {"Paddle-Signature": f"ts={NOW};h1={signature}"}, stale_after=5)


def zendesk() -> Sent:
    at = datetime.fromtimestamp(NOW, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {"X-Zendesk-Webhook-Signature": b64(sha256(timed(at))), "X-Zendesk-Webhook-Signature-Timestamp": at}
    return Sent(JSON | headers, stale_after=300)


def twitch() -> Sent:
    at = datetime.fromtimestamp(NOW, UTC).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
    headers = {
        "Twitch-Eventsub-Message-Id": "id-1",
        "Twitch-Eventsub-Message-Timestamp": at,
        "Twitch-Eventsub-Message-Type": "notification",
        "Twitch-Eventsub-Message-Signature": "sha256=" + sha256(b"id-1" + timed(at)).hex(),
    }
    return Sent(JSON | headers, stale_after=601)


def klaviyo() -> Sent:
    at = datetime.fromtimestamp(NOW, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return Sent(
        JSON | {"Klaviyo-Timestamp": at, "Klaviyo-Signature": sha256(BODY + at.encode()).hex()}, stale_after=300
    )


def scalr() -> Sent:
    at = datetime.fromtimestamp(NOW, UTC).strftime("%a %d %b %Y %H:%M:%S UTC")
    return Sent(JSON | {"Date": at, "X-Signature": sha1(BODY + at.encode()).hex()}, stale_after=300)


def front() -> Sent:
    at = str(NOW * 1000)
    headers = {"X-Front-Request-Timestamp": at, "X-Front-Signature": b64(sha256(timed(at, b":")))}
    return Sent(JSON | headers, stale_after=300)


def hubspot_v3() -> Sent:
    at = str(NOW * 1000)
    content = b"POST" + URL.encode() + b"?to=a:b/c" + BODY + at.encode()
    headers = {"X-HubSpot-Request-Timestamp": at, "X-HubSpot-Signature-v3": b64(sha256(content))}
    return Sent(JSON | headers, query="to=a%3Ab%2Fc", stale_after=300)


def hubspot_digest(version: str, *parts: bytes) -> Sent:
    digest = hashlib.sha256(b"".join([SECRET.encode(), *parts, BODY])).hexdigest()
    return Sent(JSON | {"X-HubSpot-Signature": digest, "X-HubSpot-Signature-Version": version})


def cloudinary(algorithm: str) -> Sent:
    digest = hashlib.new(algorithm, BODY + str(NOW).encode() + SECRET.encode()).hexdigest()
    return Sent(JSON | {"x-cld-timestamp": str(NOW), "x-cld-signature": digest}, stale_after=7200)


def linear() -> Sent:
    body = json.dumps({"type": "Issue", "webhookTimestamp": NOW * 1000}).encode()
    return Sent(JSON | {"Linear-Signature": sha256(body).hex()}, body, stale_after=60)


def mailgun_json() -> Sent:
    signature = sha256(f"{NOW}token".encode()).hex()
    stamp = {"timestamp": str(NOW), "token": "token", "signature": signature}
    return Sent(JSON, json.dumps({"signature": stamp, "event-data": {"event": "opened"}}).encode(), stale_after=300)


def mailgun_form() -> Sent:
    signature = sha256(f"{NOW}token".encode()).hex()
    fields = {"timestamp": str(NOW), "token": "token", "signature": signature, "event": "opened"}
    return Sent(FORM, urlencode(fields).encode(), stale_after=300)


def mandrill() -> Sent:
    events = '[{"event": "send"}]'
    signature = sha1((URL + "mandrill_events" + events).encode())
    return Sent(FORM | {"X-Mandrill-Signature": b64(signature)}, urlencode({"mandrill_events": events}).encode())


def twilio_form() -> Sent:
    content = URL + "?a=b" + "Body" + "hi there" + "From" + "+15551234"
    body = urlencode({"From": "+15551234", "Body": "hi there"}).encode()
    return Sent(FORM | {"X-Twilio-Signature": b64(sha1(content.encode()))}, body, "a=b")


def twilio_json() -> Sent:
    query = f"bodySHA256={hashlib.sha256(BODY).hexdigest()}"
    return Sent(JSON | {"X-Twilio-Signature": b64(sha1(f"{URL}?{query}".encode()))}, query=query)


def gitea_form() -> Sent:
    payload = '{"ref": "main"}'
    return Sent(FORM | {"X-Gitea-Signature": sha256(payload.encode()).hex()}, urlencode({"payload": payload}).encode())


def adyen_header() -> Sent:
    key = bytes(range(32))
    return Sent(JSON | {"HmacSignature": b64(sha256(BODY, key))}, secret=key.hex())


def adyen_items() -> Sent:
    key = bytes(range(32))
    item = {
        "pspReference": "p",
        "merchantAccountCode": "a",
        "merchantReference": "r:\\",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
    }
    signature = b64(sha256(b"p::a:r:\\:1130:EUR:AUTHORISATION:true", key))
    signed = {"NotificationRequestItem": item | {"additionalData": {"hmacSignature": signature}}}
    return Sent(JSON, json.dumps({"notificationItems": [signed, signed]}).encode(), secret=key.hex())


def solidgate() -> Sent:
    digest = hmac.new(SECRET.encode(), b"wh_pk_1" + BODY + b"wh_pk_1", hashlib.sha512).hexdigest()
    return Sent(JSON | {"signature": b64(digest.encode())}, params={"public_key": "wh_pk_1"})


def airtable() -> Sent:
    key = bytes(range(24))
    return Sent(JSON | {"X-Airtable-Content-MAC": "hmac-sha256=" + sha256(BODY, key).hex()}, secret=b64(key))


def contentful() -> Sent:
    at = str(NOW * 1000)
    signed = "x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic"
    lines = [
        b"POST",
        b"/hook?q%253Da%252520b",
        f"x-contentful-signed-headers:{signed};x-contentful-timestamp:{at};x-contentful-topic:Entry.save".encode(),
        BODY,
    ]
    headers = {
        "X-Contentful-Topic": "Entry.save",
        "X-Contentful-Timestamp": at,
        "X-Contentful-Signed-Headers": signed,
        "X-Contentful-Signature": sha256(b"\n".join(lines)).hex(),
    }
    return Sent(JSON | headers, query="q=a%20b", stale_after=30)


SIGNED: dict[tuple[str, str], Callable[[], Sent]] = {
    ("github", "sha256"): plain_hex("X-Hub-Signature-256", "sha256="),
    ("github", "legacy_sha1"): lambda: Sent(JSON | {"X-Hub-Signature": "sha1=" + sha1(BODY).hex()}),
    ("gitlab", "signing_token"): lambda: standard("webhook", KEY, WHSEC),
    ("gitlab", "token"): token("X-Gitlab-Token"),
    ("bitbucket", "sha256"): plain_hex("X-Hub-Signature", "sha256="),
    ("bitbucket_server", "sha256"): plain_hex("X-Hub-Signature", "sha256="),
    ("bitbucket_server", "basic"): basic,
    ("gitea", "gitea"): plain_hex("X-Gitea-Signature"),
    ("gitea", "forgejo"): plain_hex("X-Forgejo-Signature"),
    ("gitea", "hub_sha256"): plain_hex("X-Hub-Signature-256", "sha256="),
    ("gitea", "form_payload"): gitea_form,
    ("gogs", "sha256"): plain_hex("X-Gogs-Signature"),
    ("circleci", "v1"): lambda: Sent(JSON | {"circleci-signature": f"v2=00,v1={sha256(BODY).hex()}"}),
    ("buildkite", "signature"): lambda: stripe_like("X-Buildkite-Signature", 300, "timestamp", "signature"),
    ("buildkite", "token"): token("X-Buildkite-Token"),
    ("vercel", "sha1"): lambda: Sent(JSON | {"x-vercel-signature": sha1(BODY).hex()}),
    ("vercel_log_drain", "sha1"): lambda: Sent(
        JSON | {"x-vercel-signature": sha1(BODY).hex()}, params={"verification_token": "v1a2b3"}
    ),
    ("sentry", "hook"): plain_hex("Sentry-Hook-Signature"),
    ("sentry", "app"): plain_hex("Sentry-App-Signature"),
    ("pagerduty", "v1"): lambda: Sent(JSON | {"X-PagerDuty-Signature": f"v1={'0' * 64},v1={sha256(BODY).hex()}"}),
    ("scalr", "sha1"): scalr,
    ("stripe", "v1"): lambda: stripe_like("Stripe-Signature", 300),
    ("square", "sha256"): lambda: Sent(JSON | {"x-square-hmacsha256-signature": b64(sha256(URL.encode() + BODY))}),
    ("adyen", "header"): adyen_header,
    ("adyen", "standard_item"): adyen_items,
    ("paddle", "h1"): paddle,
    ("lemonsqueezy", "sha256"): plain_hex("X-Signature"),
    ("shopify", "sha256"): plain_base64("X-Shopify-Hmac-SHA256"),
    ("woocommerce", "sha256"): plain_base64("X-WC-Webhook-Signature"),
    ("razorpay", "sha256"): plain_hex("X-Razorpay-Signature"),
    ("paystack", "sha512"): lambda: Sent(
        JSON | {"x-paystack-signature": hmac.new(SECRET.encode(), BODY, hashlib.sha512).hexdigest()}
    ),
    ("tebex", "two_step"): lambda: Sent(
        JSON | {"X-Signature": sha256(hashlib.sha256(BODY).hexdigest().encode()).hex()}
    ),
    ("solidgate", "sha512"): solidgate,
    ("xero", "sha256"): plain_base64("x-xero-signature"),
    ("slack", "v0"): slack,
    ("twilio", "form"): twilio_form,
    ("twilio", "json"): twilio_json,
    ("mailgun", "json"): mailgun_json,
    ("mailgun", "form"): mailgun_form,
    ("postmark", "basic"): basic,
    ("postmark", "query_token"): lambda: Sent(JSON, query=f"token={SECRET}"),
    ("mandrill", "sha1"): mandrill,
    ("telegram", "secret_token"): token("X-Telegram-Bot-Api-Secret-Token"),
    ("zoom", "v0"): zoom,
    ("intercom", "sha1"): lambda: Sent(JSON | {"X-Hub-Signature": "sha1=" + sha1(BODY).hex()}),
    ("front", "sha256"): front,
    ("nylas", "sha256"): plain_hex("x-nylas-signature"),
    ("klaviyo", "sha256"): klaviyo,
    ("standard_webhooks", "v1"): lambda: standard("webhook", KEY, WHSEC),
    ("svix", "v1"): lambda: standard("svix", KEY, WHSEC),
    ("openai", "v1"): lambda: standard("webhook", KEY, WHSEC),
    ("resend", "v1"): lambda: standard("svix", KEY, WHSEC),
    ("clerk", "v1"): lambda: standard("svix", KEY, WHSEC),
    ("replicate", "v1"): lambda: standard("webhook", KEY, WHSEC),
    ("polar", "v1"): lambda: standard("webhook", b"polar_whs_0123456789", "polar_whs_0123456789"),
    ("jamf_pro", "basic"): basic,
    ("jira", "websub"): plain_hex("X-Hub-Signature", "sha256="),
    ("zendesk", "sha256"): zendesk,
    ("hubspot", "v3"): hubspot_v3,
    ("hubspot", "v2"): lambda: hubspot_digest("v2", b"POST", URL.encode()),
    ("hubspot", "v1"): lambda: hubspot_digest("v1"),
    ("typeform", "sha256"): plain_base64("Typeform-Signature", "sha256="),
    ("calendly", "v1"): lambda: stripe_like("Calendly-Webhook-Signature", 180),
    ("docusign", "hmac"): lambda: Sent(
        JSON | {"X-DocuSign-Signature-1": "bm90IGl0", "X-DocuSign-Signature-2": b64(sha256(BODY))}
    ),
    ("trello", "sha1"): lambda: Sent(JSON | {"x-trello-webhook": b64(sha1(BODY + URL.encode()))}),
    ("asana", "sha256"): plain_hex("X-Hook-Signature"),
    ("linear", "sha256"): linear,
    ("airtable", "sha256"): airtable,
    ("notion", "sha256"): plain_hex("X-Notion-Signature", "sha256="),
    ("okta", "header_secret"): token("Authorization"),
    ("auth0", "header_secret"): token("Authorization"),
    ("workos", "v1"): workos,
    ("cloudevents_webhook", "bearer"): token("Authorization", "Bearer "),
    ("cloudevents_webhook", "query_token"): lambda: Sent(JSON, query=f"access_token={SECRET}"),
    ("microsoft_graph", "client_state"): lambda: items_with(SECRET),
    ("microsoft_sharepoint", "client_state"): lambda: items_with(SECRET),
    ("contentful", "canonical"): contentful,
    ("sanity", "v1"): sanity,
    ("cloudinary", "sha1"): lambda: cloudinary("sha1"),
    ("cloudinary", "sha256"): lambda: cloudinary("sha256"),
    ("cloudflare_stream", "sig1"): lambda: stripe_like("Webhook-Signature", 300, "time", "sig1"),
    ("mux", "v1"): lambda: stripe_like("Mux-Signature", 300),
    ("dropbox", "sha256"): plain_hex("X-Dropbox-Signature"),
    ("meta", "sha256"): plain_hex("X-Hub-Signature-256", "sha256="),
    ("meta", "legacy_sha1"): lambda: Sent(JSON | {"X-Hub-Signature": "sha1=" + sha1(BODY).hex()}),
    ("x_twitter", "sha256"): plain_base64("X-Twitter-Webhooks-Signature", "sha256="),
    ("linkedin", "sha256"): lambda: Sent(JSON | {"X-LI-Signature": sha256(b"hmacsha256=" + BODY).hex()}),
    ("twitch", "sha256"): twitch,
}


ENTRIES: Final = load_catalogue()


def compiled(source: dict[str, Json]) -> JsonObject:
    sources = compile_config(ConfigFile("test", Path(), {"sources": {"hook": source}}))["receive"]["sources"]
    assert isinstance(sources, dict)
    hook = sources["hook"]
    assert isinstance(hook, dict)
    return hook


def faults(source: dict[str, Json]) -> str:
    with pytest.raises(ConfigFaults) as error:
        compiled(source)
    return str(error.value)


def auth_of_source(source: dict[str, Json]) -> list[JsonObject]:
    auth = compiled(source)["auth"]
    assert isinstance(auth, list)
    return [scheme for scheme in auth if isinstance(scheme, dict)]


def test_every_known_provider_has_an_entry(inputs_folder: Path) -> None:
    facts = yaml.safe_load((inputs_folder / "providers.yaml").read_text(encoding="utf-8"))
    assert sorted(facts["providers"]) == list(ENTRIES)
    assert len(ENTRIES) >= 88


def test_the_catalogue_has_no_key_twice() -> None:
    keys = re.findall(r"^([a-z0-9_]+):", CATALOGUE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(set(keys)) == sorted(keys)


@pytest.mark.parametrize("key", ENTRIES)
def test_a_source_needs_no_more_than_the_provider_the_secret_and_the_params_that_are_required(key: str) -> None:
    entry = ENTRIES[key]
    source: dict[str, Json] = {"provider": key}
    if any(offered.scheme.model_dump().get("secret") == SOURCES_SECRET for offered in entry.auth):
        assert "needs a secret" in faults(source) or "is missing" in faults(source)
        source["secret"] = "the-secret"
    if not entry.auth:
        assert "does not sign its requests" in faults(source)
        source["auth"] = {"scheme": "path", "secret": "the-token"}
    source["params"] = {name: "value" for name, param in entry.params.items() if param.required}
    written = str(compiled(source))
    assert SOURCES_SECRET not in written
    assert "{param." not in written


@pytest.mark.parametrize("key", ENTRIES)
def test_the_source_that_is_shown_answers_every_handshake_of_its_provider(key: str) -> None:
    entry = ENTRIES[key]
    params: dict[str, Json] = {name: "a-name" for name, param in entry.params.items() if param.required}
    proof: dict[str, Json] = {"secret": "a-name"} if entry.auth else {"auth": {"scheme": "path", "secret": "a-name"}}
    source: dict[str, Json] = {"provider": key, "params": params, **proof}
    handshakes = compiled(source).get("handshakes", [])
    assert isinstance(handshakes, list)
    assert len(handshakes) == len(entry.handshakes)


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_says_how_it_was_proven_and_how_sure_it_is(key: str) -> None:
    entry = ENTRIES[key]
    assert (entry.proven.by == "nothing") is (not entry.auth)
    assert "auth" in entry.known_from or not entry.auth
    assert not entry.handshakes or "handshakes" in entry.known_from
    assert entry.setup or entry.known_from["auth"] in {"notes", "library"}


@pytest.mark.parametrize("key", [key for key, entry in ENTRIES.items() if entry.proven.by == "vectors"])
def test_what_is_said_to_be_proven_by_vectors_has_some(inputs_folder: Path, key: str) -> None:
    published_in_documents = {"bitbucket", "jira"}  # test_catalogue_libraries.py has them
    assert (inputs_folder / "vectors" / f"{key}.json").is_file() or key in published_in_documents


def test_what_is_said_to_be_restated_is() -> None:
    tried = {key for key, _ in SIGNED} | {"travis", "telnyx", "discord", "aws_sns", "ebay"}
    assert not [key for key, entry in ENTRIES.items() if entry.proven.by == "restated" and key not in tried]


def test_a_secret_param_is_a_secret_that_the_bundle_needs() -> None:
    slices = compile_config(
        ConfigFile(
            "test",
            Path(),
            {"sources": {"hook": {"provider": "meta", "secret": "app", "params": {"verify_token": "token"}}}},
        )
    )
    assert secrets_needed(slices) == ["app", "token"]


def test_a_variant_takes_that_way_alone() -> None:
    assert [auth["variant"] for auth in auth_of_source({"provider": "gitlab", "secret": "s"})] == [
        "signing_token",
        "token",
    ]
    assert [auth["variant"] for auth in auth_of_source({"provider": "gitlab", "secret": "s", "variant": "token"})] == [
        "token"
    ]
    assert [auth["variant"] for auth in auth_of_source({"provider": "github", "secret": "s"})] == ["sha256"]
    assert [
        auth["variant"] for auth in auth_of_source({"provider": "github", "secret": "s", "variant": "legacy_sha1"})
    ] == ["legacy_sha1"]


def test_a_tolerance_replaces_the_providers() -> None:
    assert auth_of_source({"provider": "paddle", "secret": "s"})[0]["tolerance_seconds"] == 5
    assert auth_of_source({"provider": "paddle", "secret": "s", "tolerance": "10m"})[0]["tolerance_seconds"] == 600


def test_what_the_source_says_counts_before_what_the_catalogue_says() -> None:
    hook = compiled({"provider": "github", "secret": "s", "type": "data.action", "dedupe": "body"})
    assert (hook["type"], hook["id"], hook["dedupe"]) == (["data.action"], ["header.X-GitHub-Delivery"], "body")
    own = compiled({"provider": "github", "auth": {"scheme": "bearer", "secret": "t"}})
    assert own["auth"] == [{"scheme": "bearer", "secret": "t"}]
    assert own["type"] == ["header.X-GitHub-Event"]


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ({"provider": "githb", "secret": "s"}, "did you mean 'github'?"),
        ({"provider": "github"}, "GitHub needs a secret"),
        ({"provider": "github", "secret": "s", "variant": "sha512"}, "GitHub has no variant 'sha512'"),
        ({"provider": "github", "secret": "s", "params": {"a": "b"}}, "GitHub has no param 'a'"),
        ({"provider": "paypal"}, "webhook_id is missing"),
        ({"provider": "docker_hub"}, "Docker Hub does not sign its requests"),
        ({"provider": "github", "secret": "A VALUE"}, "must be the name of a secret"),
        ({"auth": "none", "variant": "v1"}, "`variant` needs `provider`"),
        ({"provider": "github", "secret": "s", "tolerance": "2 weeks"}, "tolerance"),
        ({"provider": "google_pubsub", "leeway": "11s"}, "leeway"),
        ({"provider": "github", "secret": "s", "leeway": "5s"}, "JSON Web Tokens only, and GitHub sends none"),
        ({"provider": "meta", "secret": "s", "params": {"verify_token": "A VALUE"}}, "must be the name of a secret"),
        (
            {"provider": "ebay", "secret": "s", "params": {"verification_token": "a){b"}},
            "must not contain braces or parentheses",
        ),
        ({"provider": "vercel_log_drain", "secret": "s", "params": {"verification_token": "…"}}, "printable ASCII"),
        (
            {"provider": "vercel_log_drain", "secret": "s", "params": {"verification_token": "a\nb: c"}},
            "printable ASCII",
        ),
    ],
)
def test_a_fault_is_reported(source: dict[str, Json], rule: str) -> None:
    assert rule in faults(source)


def warnings(source: dict[str, Json]) -> str:
    return " | ".join(provider_warnings(SourceConfig.model_validate(source), None))


def test_whoever_might_send_unseen_is_warned_of() -> None:
    assert "any AWS account's topic may send to you" in warnings({"provider": "aws_sns"})
    assert "topic may" not in warnings({"provider": "aws_sns", "params": {"topics": "123456789012"}})


def test_a_tolerance_that_rejects_every_request_is_warned_of() -> None:
    assert "rejects all requests of Stripe" in warnings({"provider": "stripe", "secret": "s", "tolerance": "0s"})
    assert "rejects all requests of Plaid" in warnings({"provider": "plaid", "secret": "s", "tolerance": "0s"})
    assert "rejects" not in warnings({"provider": "google_pubsub", "tolerance": "0s"})
    assert "rejects" not in warnings({"provider": "stripe", "secret": "s", "tolerance": "1s"})


def test_a_url_that_is_signed_has_to_be_known() -> None:
    assert "set `public_url` to it" in warnings({"provider": "twilio", "secret": "s"})
    assert "public_url" not in warnings({"provider": "twilio", "secret": "s", "public_url": "https://h.example.com"})
    assert "public_url" not in warnings({"provider": "github", "secret": "s"})


# The key is the sender's alone: test_catalogue_public_keys.py and test_catalogue_certificates.py make their own.
PUBLIC_KEYS = {
    "travis", "sendgrid", "telnyx", "discord", "plaid", "google_pubsub", "aws_sns", "paypal", "ebay", "monday",
}  # fmt: skip
IN_HEAD = {"basic", "header", "bearer", "query"}
WAYS = sorted(SIGNED)
TIMED = [key for key in WAYS if SIGNED[key]().stale_after]


def receiving(provider: str, variant: str, sent: Sent, now: float = NOW, secret: str | None = None) -> Receiving:
    return Receiving(
        {"provider": provider, "variant": variant, "secret": "the-secret", "params": dict(sent.params)},
        {"the-secret": sent.secret if secret is None else secret},
        now,
        f"{URL}?{sent.query}" if sent.query else URL,
    )


async def code(where: Receiving, sent: Sent, body: bytes | None = None) -> str:
    return await where.code(list(sent.headers.items()), sent.body if body is None else body)


def scheme_of(provider: str, variant: str) -> str:
    return next(
        offered.scheme.scheme for offered in load_catalogue()[provider].auth if offered.scheme.variant == variant
    )


OVER_CONTENT = [way for way in WAYS if scheme_of(*way) not in {*IN_HEAD, "token"}]


def test_every_way_of_every_entry_is_tried_here_or_with_public_keys() -> None:
    offered = {(key, str(offered.scheme.variant)) for key, entry in load_catalogue().items() for offered in entry.auth}
    same_as = {key for key in offered if key[1] == "v1a"}  # tried with keys of its own
    assert offered - same_as - {key for key in offered if key[0] in PUBLIC_KEYS} == set(SIGNED)


async def test_what_the_sender_signed_is_accepted() -> None:
    codes = {}
    for way in WAYS:
        sent = SIGNED[way]()
        codes[way] = await code(receiving(*way, sent), sent)
    assert codes == dict.fromkeys(WAYS, "")


async def test_another_secret_is_rejected() -> None:
    codes = {}
    for way in WAYS:
        sent = SIGNED[way]()
        other = sent.secret[:-4] + ("AAA=" if sent.secret.endswith("=") else "0000")
        codes[way] = await code(receiving(*way, sent, secret=other), sent)
    assert {way: each for way, each in codes.items() if each not in {"signature_mismatch", "password_mismatch"}} == {}


async def test_the_secret_before_the_newest_is_accepted_too() -> None:
    codes = {}
    for way in WAYS:
        sent = SIGNED[way]()
        newest = sent.secret[:-4] + sent.secret[-4:][::-1].replace("=", "A")
        codes[way] = await code(receiving(*way, sent, secret=f"{newest}\n{sent.secret}\n"), sent)
    assert codes == dict.fromkeys(WAYS, "")


async def test_one_more_byte_in_the_body_is_rejected() -> None:
    codes = {}
    for way in [each for each in OVER_CONTENT if each[0] != "mailgun"]:
        sent = SIGNED[way]()
        changed = sent.body.replace(b"true", b"false") if way[1] == "standard_item" else sent.body + b"x"
        codes[way] = await code(receiving(*way, sent), sent, changed)
    assert codes == dict.fromkeys(codes, "signature_mismatch")


async def test_without_its_signature_it_is_rejected() -> None:
    codes = {}
    for way in OVER_CONTENT:
        sent = SIGNED[way]()
        bare = Sent({"Content-Type": sent.headers["Content-Type"]}, b"{}")
        where = receiving(*way, sent)
        if way[0] == "vercel_log_drain":  # which asks whose URL it is in such a request
            assert (await where.reply("POST", list(bare.headers.items()), bare.body)).body == b""
        else:
            codes[way] = await code(where, bare)
    assert codes == dict.fromkeys(codes, "signature_mismatch")


async def test_it_is_accepted_within_the_senders_tolerance_and_no_longer() -> None:
    codes = {}
    for way in TIMED:
        sent = SIGNED[way]()
        assert sent.stale_after
        edges = sent.stale_after - 1, sent.stale_after + 1, -sent.stale_after - 1
        codes[way] = [await code(receiving(*way, sent, NOW + edge), sent) for edge in edges]
    assert codes == {way: ["", "timestamp_out_of_range", "timestamp_out_of_range"] for way in TIMED}


async def test_a_source_may_be_more_patient_than_its_provider() -> None:
    sent = SIGNED["paddle", "h1"]()
    patient = receiving("paddle", "h1", sent, NOW + 60)
    patient.source["tolerance"] = "2m"
    assert await code(patient, sent) == ""


async def test_the_variant_needs_no_naming_unless_it_is_on_request() -> None:
    rejected, on_request = set(), set()
    for provider, variant in WAYS:
        sent = SIGNED[provider, variant]()
        where = receiving(provider, variant, sent)
        del where.source["variant"]
        if await code(where, sent):
            rejected.add((provider, variant))
        if any(each.on_request for each in load_catalogue()[provider].auth if each.scheme.variant == variant):
            on_request.add((provider, variant))
    assert rejected == on_request


@pytest.mark.parametrize("provider", ["microsoft_graph", "microsoft_sharepoint"])
async def test_one_item_without_the_token_rejects_all(provider: str) -> None:
    sent = SIGNED[provider, "client_state"]()
    one_wrong = sent.body.replace(SECRET.encode(), b"wrong", 1)
    assert await code(receiving(provider, "client_state", sent), sent, one_wrong) == "password_mismatch"
    assert await code(receiving(provider, "client_state", sent), sent, b'{"value": []}') == "password_mismatch"


async def test_a_json_body_cannot_hide_behind_a_signature_over_no_form() -> None:
    sent = SIGNED["twilio", "form"]()
    signed_bare = SIGNED["mandrill", "sha1"]()
    for provider, variant, given in (("twilio", "form", sent), ("mandrill", "sha1", signed_bare)):
        as_json = Sent({**given.headers, "Content-Type": "application/json"}, b'{"forged": true}', given.query)
        assert await code(receiving(provider, variant, given), as_json) == "signature_mismatch"


async def test_gitlabs_plain_token_is_no_signing_token_whatever_a_stranger_sends_and_both_may_be_kept() -> None:
    signed, plain = SIGNED["gitlab", "signing_token"](), SIGNED["gitlab", "token"]()
    source: dict[str, Json] = {"provider": "gitlab", "secret": "the-secret"}
    assert await code(Receiving(source, {"the-secret": SECRET}, NOW), signed) == "signature_mismatch"
    for sent in (signed, plain):
        assert await code(Receiving(source, {"the-secret": f"{signed.secret}\n{SECRET}"}, NOW), sent) == ""


async def test_what_two_sources_of_cloudevents_call_the_same_are_two_events() -> None:
    where = Receiving({"provider": "cloudevents_webhook", "secret": "the-secret"}, {"the-secret": SECRET}, NOW)
    token = {"Authorization": f"Bearer {SECRET}"}
    ids = set()
    for source in ("/a", "/b", "/b"):
        headers = [*(JSON | token).items(), ("ce-source", source), ("ce-id", "1")]
        [binary] = await where.events(headers, b"{}")
        [structured] = await where.events(list((JSON | token).items()), f'{{"source": "{source}", "id": "1"}}'.encode())
        assert binary.id == structured.id
        ids.add(binary.id)
    assert len(ids) == 2


async def test_two_orders_that_woocommerce_sends_in_one_second_are_two_events() -> None:
    where = Receiving({"provider": "woocommerce", "secret": "the-secret"}, {"the-secret": SECRET}, NOW)
    ids = []
    for body in (b'{"id": 1}', b'{"id": 2}', b'{"id": 2}', b'{"action": "a"}'):
        signature = base64.b64encode(sha256(body)).decode()
        headers = {"X-WC-Webhook-Signature": signature, "X-WC-Webhook-Delivery-ID": "hook-and-second"}
        [event] = await where.events(list((JSON | headers).items()), body)
        ids.append(event.id)
    assert ids[1] == ids[2]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("variant", ["json", "form"])
async def test_a_signature_of_mailguns_that_was_seen_makes_no_second_event_of_another_body(variant: str) -> None:
    sent = SIGNED["mailgun", variant]()
    where = receiving("mailgun", variant, sent)
    [genuine] = await where.events(list(sent.headers.items()), sent.body)
    [forged] = await where.events(list(sent.headers.items()), sent.body.replace(b"opened", b"complained"))
    assert (genuine.deliveryid, genuine.id) == (forged.deliveryid, forged.id) == ("token", genuine.id)
    assert forged.payloadhash != genuine.payloadhash


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        (b'{"update_id": 1, "message": {"text": "hi"}}', "message"),
        (b'{"callback_query": {}, "update_id": 1}', "callback_query"),
        (b'{"update_id": 1, "message": {}, "other": {}}', "received"),
        (b'{"update_id": 1}', "received"),
        (b'{"message": {}, "event": "e"}', "e"),
        (b"[1, 2]", "received"),
    ],
)
async def test_an_update_of_telegrams_is_of_the_type_that_its_other_key_names(body: bytes, type_: str) -> None:
    sent = SIGNED["telegram", "secret_token"]()
    [event] = await receiving("telegram", "secret_token", sent).events(list(sent.headers.items()), body)
    assert event.type == type_


async def test_shopifys_events_say_of_which_shop_they_are_as_their_bodies_do_not() -> None:
    sent = SIGNED["shopify", "sha256"]()
    headers = [*sent.headers.items(), ("X-Shopify-Shop-Domain", "apples.myshopify.com")]
    [event] = await receiving("shopify", "sha256", sent).events(headers, sent.body)
    assert event.subject == "apples.myshopify.com"


EVENTS_AT = 1_790_000_000.0
JSON_TYPE = ("content-type", "application/json")


async def received(provider: str, body: Json, *headers: tuple[str, str]) -> tuple[Event, ...]:
    params: Json = {name: "a-name" for name, param in load_catalogue()[provider].params.items() if param.required}
    receiving = Receiving(
        {"provider": provider, "auth": "none", "params": params}, {"a-name": "a-value-of-enough"}, EVENTS_AT
    )
    return await receiving.events([JSON_TYPE, *headers], json.dumps(body).encode())


async def test_events_of_hubspot_with_one_event_id_are_two_and_a_retry_of_one_is_not() -> None:
    # Its documentation: "This value is not guaranteed to be unique."
    one: dict[str, Json] = {"eventId": 1, "subscriptionId": 7, "occurredAt": 1_789_999_999_000, "attemptNumber": 0}
    [first] = await received("hubspot", [{**one, "objectId": 123}])
    [again] = await received("hubspot", [{**one, "objectId": 123, "attemptNumber": 1}])
    [other] = await received("hubspot", [{**one, "objectId": 124}])
    [linked] = await received("hubspot", [{**one, "fromObjectId": 123, "toObjectId": 124}])
    assert first.id == again.id
    assert len({first.id, other.id, linked.id}) == 3
    assert linked.deliveryid


@pytest.mark.parametrize(
    ("provider", "sample", "type_", "has_id"),
    [
        ("auth0", "logs", "s", True),
        ("ebay", "MARKETPLACE_ACCOUNT_DELETION", "MARKETPLACE_ACCOUNT_DELETION", True),
        ("intercom", "conversation.user.created", "conversation.user.created", True),
        ("microsoft_graph", "reauthorizationRequired", "reauthorizationRequired", False),
        ("monday", "create_pulse", "create_pulse", False),
        ("mux", "video.asset.ready", "video.asset.ready", True),
        ("notion", "page.created", "page.created", True),
        ("razorpay", "payment.captured", "payment.captured", True),
        ("strava", "activity-create", "activity.create", False),
        ("telnyx", "message.received", "message.received", True),
    ],
)
async def test_an_event_has_its_type_and_where_it_has_one_its_id(
    provider: str, sample: str, type_: str, has_id: bool
) -> None:
    request = load_sample(provider, sample, Fresh(EVENTS_AT, "abcdefabcdef", "9876543210")).request
    event = (await received(provider, json.loads(request.body), *request.headers))[0]
    assert (event.type, event.deliveryid is not None) == (type_, has_id)


async def test_an_event_of_twitch_says_what_happened() -> None:
    [event] = await received("twitch", {"subscription": {"type": "stream.online"}})
    assert event.subject == "stream.online"
