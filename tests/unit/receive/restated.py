"""Signatures computed by plain code of the tests' own, from the senders' documentation and not from the catalogue.

Each answers the headers, or the whole request where the signature stands elsewhere.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlencode

from tests.unit.receive.sent import (
    BODY,
    FORM,
    JSON,
    KEY,
    NOW,
    SECRET,
    URL,
    WHSEC,
    Sent,
    b64,
    basic,
    items_with,
    plain_base64,
    plain_hex,
    sha1,
    sha256,
    standard,
    stripe_like,
    timed,
    token,
)


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
