"""The catalogue as a whole, and what a source takes from it."""

import hashlib
import hmac
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import pytest
import yaml

from deploy.config.compiler import compile_config
from deploy.config.config_file import ConfigFaults, ConfigFile
from deploy.config.sections.catalogue import SOURCES_SECRET, load_catalogue
from deploy.config.sections.source import SourceConfig
from deploy.config.warnings import provider_texts
from deploy.requests.samples import Fresh, load_sample
from shared.event import Event
from shared.jsontext import Json, JsonObject, mapping_at
from tests.in_process.receiving import URL, Receiving
from tests.unit.receive.sender_keys import NOW, b64

SECRET = "an-independent-secret-of-some-length"
BODY = b'{"a": 1, "text": "\xc3\xa9"}'
JSON_TYPE = ("Content-Type", "application/json")
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Sent:
    """`query` is without its question mark; `stale_after` are seconds, where the sender says its time."""

    signed: dict[str, str]
    body: bytes = BODY
    stale_after: float | None = None
    query: str = ""
    secret: str = SECRET
    content_type: str = "application/json"
    params: dict[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [("Content-Type", self.content_type), *self.signed.items()]


def sha256(content: bytes, key: bytes = SECRET.encode()) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()


def sha1(content: bytes) -> bytes:
    return hmac.new(SECRET.encode(), content, hashlib.sha1).digest()


def timed(text: str, between: bytes = b"") -> bytes:
    return text.encode() + between + BODY


def written(layout: str) -> str:
    return datetime.fromtimestamp(NOW, UTC).strftime(layout)


def stripe_like(header: str, stale_after: float, time: str = "t", item: str = "v1") -> Sent:
    signature = sha256(timed(str(NOW), b".")).hex()
    return Sent({header: f"{time}={NOW},{item}={signature}"}, stale_after=stale_after)


def cloudinary(algorithm: str) -> Sent:
    digest = hashlib.new(algorithm, BODY + str(NOW).encode() + SECRET.encode()).hexdigest()
    return Sent({"x-cld-timestamp": str(NOW), "x-cld-signature": digest}, stale_after=7200)


HEX, BASE64 = sha256(BODY).hex(), b64(sha256(BODY))
BASIC = Sent({"Authorization": "Basic " + b64(f"hookchain:{SECRET}".encode())})
KEY = bytes(range(24))
IN_MS = str(NOW * 1000)
RFC, HTTP = written("%Y-%m-%dT%H:%M:%SZ"), written("%a, %d %b %Y %H:%M:%S GMT")
ITEMS = json.dumps({"value": [{"clientState": SECRET, "changeType": "updated"}] * 2}).encode()
ISSUE = json.dumps({"type": "Issue", "webhookTimestamp": NOW * 1000}).encode()
STAMP = {"timestamp": str(NOW), "token": "token", "signature": sha256(f"{NOW}token".encode()).hex()}
OPENED = json.dumps({"signature": STAMP, "event-data": {"event": "opened"}}).encode()
MANDRILL = '[{"event": "send"}]'
OF_MANDRILL = {"X-Mandrill-Signature": b64(sha1(f"{URL}mandrill_events{MANDRILL}".encode()))}
TWILIO = urlencode({"From": "+15551234", "Body": "hi there"}).encode()
OF_TWILIO = {"X-Twilio-Signature": b64(sha1(f"{URL}?a=bBodyhi thereFrom+15551234".encode()))}
SOLIDGATE = hmac.new(SECRET.encode(), b"wh_pk_1" + BODY + b"wh_pk_1", hashlib.sha512).hexdigest()
SIGNED: Final[dict[tuple[str, str], Sent]] = {
    ("gitlab", "signing_token"): Sent(
        {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(NOW),
            "webhook-signature": f"v1,{b64(sha256(f'msg_1.{NOW}.'.encode() + BODY, KEY))}",
        },
        secret="whsec_" + b64(KEY),
        stale_after=300,
    ),
    ("gitlab", "token"): Sent({"X-Gitlab-Token": SECRET}),
    ("gitea", "forgejo"): Sent({"X-Forgejo-Signature": HEX}),
    ("gitea", "hub_sha256"): Sent({"X-Hub-Signature-256": f"sha256={HEX}"}),
    ("buildkite", "signature"): stripe_like("X-Buildkite-Signature", 300, "timestamp", "signature"),
    ("vercel", "sha1"): Sent({"x-vercel-signature": sha1(BODY).hex()}),
    ("vercel_log_drain", "sha1"): Sent(
        {"x-vercel-signature": sha1(BODY).hex()}, params={"verification_token": "v1a2b3"}
    ),
    ("sentry", "hook"): Sent({"Sentry-Hook-Signature": HEX}),
    ("sentry", "app"): Sent({"Sentry-App-Signature": HEX}),
    ("pagerduty", "v1"): Sent({"X-PagerDuty-Signature": f"v1={'0' * 64},v1={HEX}"}),
    ("lemonsqueezy", "sha256"): Sent({"X-Signature": HEX}),
    ("woocommerce", "sha256"): Sent({"X-WC-Webhook-Signature": BASE64}),
    ("razorpay", "sha256"): Sent({"X-Razorpay-Signature": HEX}),
    ("paystack", "sha512"): Sent({"x-paystack-signature": hmac.new(SECRET.encode(), BODY, hashlib.sha512).hexdigest()}),
    ("tebex", "two_step"): Sent({"X-Signature": sha256(hashlib.sha256(BODY).hexdigest().encode()).hex()}),
    ("solidgate", "sha512"): Sent({"signature": b64(SOLIDGATE.encode())}, params={"public_key": "wh_pk_1"}),
    ("xero", "sha256"): Sent({"x-xero-signature": BASE64}),
    ("twilio", "form"): Sent(OF_TWILIO, TWILIO, query="a=b", content_type=FORM),
    ("mailgun", "json"): Sent({}, OPENED, stale_after=300),
    ("mailgun", "form"): Sent({}, urlencode({**STAMP, "event": "opened"}).encode(), 300, content_type=FORM),
    ("postmark", "basic"): BASIC,
    ("postmark", "query_token"): Sent({}, query=f"token={SECRET}"),
    ("mandrill", "sha1"): Sent(OF_MANDRILL, urlencode({"mandrill_events": MANDRILL}).encode(), content_type=FORM),
    ("telegram", "secret_token"): Sent({"X-Telegram-Bot-Api-Secret-Token": SECRET}),
    ("zoom", "v0"): Sent(
        {"x-zm-request-timestamp": str(NOW), "x-zm-signature": f"v0={sha256(timed(f'v0:{NOW}:')).hex()}"},
        stale_after=300,
    ),
    ("intercom", "sha1"): Sent({"X-Hub-Signature": f"sha1={sha1(BODY).hex()}"}),
    ("front", "sha256"): Sent(
        {"X-Front-Request-Timestamp": IN_MS, "X-Front-Signature": b64(sha256(timed(IN_MS, b":")))}, stale_after=300
    ),
    ("nylas", "sha256"): Sent({"x-nylas-signature": HEX}),
    ("klaviyo", "sha256"): Sent(
        {"Klaviyo-Timestamp": HTTP, "Klaviyo-Signature": sha256(BODY + HTTP.encode()).hex()}, stale_after=300
    ),
    ("attio", "sha256"): Sent({"Attio-Signature": HEX}),
    ("close", "sha256"): Sent(
        {"close-sig-timestamp": str(NOW), "close-sig-hash": sha256(timed(str(NOW)), KEY).hex()},
        secret=KEY.hex(),
        stale_after=300,
    ),
    ("deepgram", "basic"): BASIC,
    ("deepgram", "extra"): Sent({}, json.dumps({"metadata": {"extra": {"callback_secret": SECRET}}}).encode()),
    ("assemblyai", "header_secret"): Sent({"X-Webhook-Secret": SECRET}),
    ("vapi", "bearer"): Sent({"Authorization": f"Bearer {SECRET}"}),
    ("vapi", "hmac"): Sent({"x-signature": HEX}),
    ("cal_com", "sha256"): Sent({"X-Cal-Signature-256": HEX}),
    ("jamf_pro", "basic"): BASIC,
    ("zendesk", "sha256"): Sent(
        {"X-Zendesk-Webhook-Signature": b64(sha256(timed(RFC))), "X-Zendesk-Webhook-Signature-Timestamp": RFC},
        stale_after=300,
    ),
    ("typeform", "sha256"): Sent({"Typeform-Signature": f"sha256={BASE64}"}),
    ("calendly", "v1"): stripe_like("Calendly-Webhook-Signature", 180),
    ("docusign", "hmac"): Sent({"X-DocuSign-Signature-1": "bm90IGl0", "X-DocuSign-Signature-2": BASE64}),
    ("trello", "sha1"): Sent({"x-trello-webhook": b64(sha1(BODY + URL.encode()))}),
    ("asana", "sha256"): Sent({"X-Hook-Signature": HEX}),
    ("linear", "sha256"): Sent({"Linear-Signature": sha256(ISSUE).hex()}, ISSUE, stale_after=60),
    ("airtable", "sha256"): Sent({"X-Airtable-Content-MAC": f"hmac-sha256={sha256(BODY, KEY).hex()}"}, secret=b64(KEY)),
    ("notion", "sha256"): Sent({"X-Notion-Signature": f"sha256={HEX}"}),
    ("okta", "header_secret"): Sent({"Authorization": SECRET}),
    ("auth0", "header_secret"): Sent({"Authorization": SECRET}),
    ("workos", "v1"): Sent({"WorkOS-Signature": f"t={IN_MS}, v1={sha256(timed(IN_MS, b'.')).hex()}"}, stale_after=180),
    ("microsoft_graph", "client_state"): Sent({}, ITEMS),
    ("microsoft_sharepoint", "client_state"): Sent({}, ITEMS),
    ("cloudinary", "sha1"): cloudinary("sha1"),
    ("cloudinary", "sha256"): cloudinary("sha256"),
    ("cloudflare_stream", "sig1"): stripe_like("Webhook-Signature", 300, "time", "sig1"),
    ("mux", "v1"): stripe_like("Mux-Signature", 300),
    ("dropbox", "sha256"): Sent({"X-Dropbox-Signature": HEX}),
    ("meta", "sha256"): Sent({"X-Hub-Signature-256": f"sha256={HEX}"}),
    ("meta", "legacy_sha1"): Sent({"X-Hub-Signature": f"sha1={sha1(BODY).hex()}"}),
    ("linkedin", "sha256"): Sent({"X-LI-Signature": sha256(b"hmacsha256=" + BODY).hex()}),
    ("twitch", "sha256"): Sent(
        {
            "Twitch-Eventsub-Message-Id": "id-1",
            "Twitch-Eventsub-Message-Timestamp": RFC,
            "Twitch-Eventsub-Message-Type": "notification",
            "Twitch-Eventsub-Message-Signature": f"sha256={sha256(b'id-1' + timed(RFC)).hex()}",
        },
        stale_after=601,
    ),
}


ENTRIES: Final = load_catalogue()


def compiled(source: dict[str, Json]) -> JsonObject:
    sources = compile_config(ConfigFile("test", Path(), {"sources": {"hook": source}}))["receive"]["sources"]
    assert isinstance(sources, dict)
    return mapping_at(sources["hook"])


def faults(source: dict[str, Json]) -> str:
    with pytest.raises(ConfigFaults) as error:
        compiled(source)
    return str(error.value)


def test_every_known_provider_has_an_entry(inputs_folder: Path) -> None:
    facts = yaml.safe_load((inputs_folder / "providers.yaml").read_text(encoding="utf-8"))
    assert facts["providers"].keys() <= ENTRIES.keys()


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
def test_an_entry_says_how_sure_it_is(key: str) -> None:
    entry = ENTRIES[key]
    assert "auth" in entry.known_from or not entry.auth
    assert not entry.handshakes or "handshakes" in entry.known_from
    assert entry.setup or entry.known_from["auth"] in {"notes", "library"}


def test_an_entry_is_proven_as_it_says(inputs_folder: Path) -> None:
    vectors = {path.stem for path in (inputs_folder / "vectors").glob("*.json")}
    in_documents = {"bitbucket", "jira"}  # test_catalogue_libraries.py has their examples
    for key, entry in ENTRIES.items():
        ways = {(key, str(offered.scheme.variant)) for offered in entry.auth}
        match entry.proven.by:
            case "nothing":
                assert not ways
            case "vectors":
                assert key in vectors | in_documents
            case "restated":
                assert key in PUBLIC_KEYS or ways <= SIGNED.keys()


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
        ({"provider": "paypal"}, "webhook_id is missing"),
        ({"provider": "docker_hub"}, "Docker Hub does not sign its requests"),
        ({"provider": "github", "secret": "A VALUE"}, "must be the name of a secret"),
        ({"provider": "google_pubsub", "leeway": "11s"}, "leeway"),
        ({"provider": "github", "secret": "s", "leeway": "5s"}, "JSON Web Tokens only, and GitHub sends none"),
        ({"provider": "meta", "secret": "s", "params": {"verify_token": "A VALUE"}}, "must be the name of a secret"),
        ({"provider": "ebay", "secret": "s", "params": {"verification_token": "a){b"}}, "must not contain braces"),
        ({"provider": "vercel_log_drain", "params": {"verification_token": "a\nb"}, "secret": "s"}, "printable ASCII"),
    ],
)
def test_a_fault_is_reported(source: dict[str, Json], rule: str) -> None:
    assert rule in faults(source)


@pytest.mark.parametrize(
    ("source", "warning", "remedy"),
    [
        ({"provider": "aws_sns"}, "any AWS account's topic may send", {"params": {"topics": "123456789012"}}),
        (
            {"provider": "stripe", "secret": "s", "tolerance": "0s"},
            "rejects all requests of Stripe",
            {"tolerance": "1s"},
        ),
        ({"provider": "twilio", "secret": "s"}, "set `public_url` to it", {"public_url": "https://h.example.com"}),
    ],
)
def test_what_works_for_strangers_or_for_nobody_is_warned_of(
    source: dict[str, Json], warning: str, remedy: dict[str, Json]
) -> None:
    assert warning in " ".join(provider_texts(SourceConfig.model_validate(source), None))
    assert warning not in " ".join(provider_texts(SourceConfig.model_validate(source | remedy), None))


PUBLIC_KEYS = {"travis", "telnyx", "discord", "aws_sns", "ebay"}
"""test_catalogue_keys.py makes keys for these senders."""
ON_REQUEST = {
    (key, str(offered.scheme.variant)) for key, entry in ENTRIES.items() for offered in entry.auth if offered.on_request
}


def receiving(way: tuple[str, str], sent: Sent, now: float = NOW, secret: str = "") -> Receiving:
    provider, variant = way
    source: dict[str, Json] = {"provider": provider, "secret": "the-secret", "params": dict(sent.params)}
    if way in ON_REQUEST:
        source["variant"] = variant
    url = f"{URL}?{sent.query}" if sent.query else URL
    return Receiving(source, {"the-secret": secret or sent.secret}, now, url)


async def code(where: Receiving, sent: Sent, body: bytes | None = None) -> str:
    return await where.code(sent.headers, sent.body if body is None else body)


def is_over_the_body(way: tuple[str, str]) -> bool:
    schemes = {str(each.scheme.variant): each.scheme.scheme for each in ENTRIES[way[0]].auth}
    return schemes[way[1]] not in {"basic", "header", "bearer", "query", "token"} and way[0] != "mailgun"


@pytest.mark.parametrize("way", SIGNED, ids="-".join)
async def test_what_the_sender_signed_is_accepted_by_its_secret_and_no_other(way: tuple[str, str]) -> None:
    sent = SIGNED[way]
    other = sent.secret[:-4] + sent.secret[-4:][::-1].replace("=", "A")
    assert await code(receiving(way, sent, secret=f"{other}\n{sent.secret}\n"), sent) == ""
    assert await code(receiving(way, sent, secret=other), sent) in {"signature_mismatch", "password_mismatch"}
    if is_over_the_body(way):
        assert await code(receiving(way, sent), sent, sent.body + b"x") == "signature_mismatch"


@pytest.mark.parametrize("way", [way for way, signed in SIGNED.items() if signed.stale_after], ids="-".join)
async def test_it_is_accepted_within_the_senders_tolerance_and_no_longer(way: tuple[str, str]) -> None:
    sent = SIGNED[way]
    assert sent.stale_after
    edges = sent.stale_after - 1, sent.stale_after + 1, -sent.stale_after - 1
    codes = [await code(receiving(way, sent, NOW + edge), sent) for edge in edges]
    assert codes == ["", "timestamp_out_of_range", "timestamp_out_of_range"]


async def test_a_source_may_be_more_patient_than_its_provider() -> None:
    sent = SIGNED["linear", "sha256"]
    patient = receiving(("linear", "sha256"), sent, NOW + 90)
    patient.source["tolerance"] = "2m"
    assert await code(patient, sent) == ""


async def test_a_variant_takes_that_way_alone_and_a_weak_one_has_to_be_named() -> None:
    way = ("meta", "legacy_sha1")
    weak = SIGNED[way]
    assert await code(receiving(way, weak), SIGNED["meta", "sha256"]) == "signature_mismatch"
    assert await code(receiving(("meta", "sha256"), weak), weak) == "signature_mismatch"


async def test_one_item_without_the_token_rejects_all() -> None:
    way = ("microsoft_graph", "client_state")
    sent = SIGNED[way]
    one_wrong = sent.body.replace(SECRET.encode(), b"wrong", 1)
    assert await code(receiving(way, sent), sent, one_wrong) == "password_mismatch"
    assert await code(receiving(way, sent), sent, b'{"value": []}') == "password_mismatch"


@pytest.mark.parametrize("way", [("twilio", "form"), ("mandrill", "sha1")])
async def test_a_json_body_cannot_hide_behind_a_signature_over_no_form(way: tuple[str, str]) -> None:
    sent = SIGNED[way]
    as_json = replace(sent, body=b'{"forged": true}', content_type="application/json")
    assert await code(receiving(way, sent), as_json) == "signature_mismatch"


async def test_gitlabs_plain_token_is_no_signing_token_whatever_a_stranger_sends_and_both_may_be_kept() -> None:
    signed, plain = SIGNED["gitlab", "signing_token"], SIGNED["gitlab", "token"]
    source: dict[str, Json] = {"provider": "gitlab", "secret": "the-secret"}
    assert await code(Receiving(source, {"the-secret": SECRET}, NOW), signed) == "signature_mismatch"
    for sent in (signed, plain):
        assert await code(Receiving(source, {"the-secret": f"{signed.secret}\n{SECRET}"}, NOW), sent) == ""


async def test_what_two_sources_of_cloudevents_call_the_same_are_two_events() -> None:
    where = Receiving({"provider": "cloudevents_webhook", "secret": "the-secret"}, {"the-secret": SECRET}, NOW)
    headers = [JSON_TYPE, ("Authorization", f"Bearer {SECRET}")]
    ids = set()
    for source in ("/a", "/b", "/b"):
        [binary] = await where.events([*headers, ("ce-source", source), ("ce-id", "1")], b"{}")
        [structured] = await where.events(headers, f'{{"source": "{source}", "id": "1"}}'.encode())
        assert binary.id == structured.id
        ids.add(binary.id)
    assert len(ids) == 2


async def test_two_orders_that_woocommerce_sends_in_one_second_are_two_events() -> None:
    where = Receiving({"provider": "woocommerce", "secret": "the-secret"}, {"the-secret": SECRET}, NOW)
    ids = []
    for body in (b'{"id": 1}', b'{"id": 2}', b'{"id": 2}', b'{"action": "a"}'):
        signed = {"X-WC-Webhook-Signature": b64(sha256(body)), "X-WC-Webhook-Delivery-ID": "hook-and-second"}
        [event] = await where.events(Sent(signed).headers, body)
        ids.append(event.id)
    assert ids[1] == ids[2]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("variant", ["json", "form"])
async def test_a_signature_of_mailguns_that_was_seen_makes_no_second_event_of_another_body(variant: str) -> None:
    sent = SIGNED["mailgun", variant]
    where = receiving(("mailgun", variant), sent)
    [genuine] = await where.events(sent.headers, sent.body)
    [forged] = await where.events(sent.headers, sent.body.replace(b"opened", b"complained"))
    assert (genuine.deliveryid, genuine.id) == (forged.deliveryid, forged.id) == ("token", genuine.id)
    assert forged.payloadhash != genuine.payloadhash


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        (b'{"update_id": 1, "message": {"text": "hi"}}', "message"),
        (b'{"callback_query": {}, "update_id": 1}', "callback_query"),
        (b'{"update_id": 1, "message": {}, "other": {}}', "received"),
        (b"[1, 2]", "received"),
    ],
)
async def test_an_update_of_telegrams_is_of_the_type_that_its_other_key_names(body: bytes, type_: str) -> None:
    sent = SIGNED["telegram", "secret_token"]
    [event] = await receiving(("telegram", "secret_token"), sent).events(sent.headers, body)
    assert event.type == type_


async def received(provider: str, body: Json, *headers: tuple[str, str]) -> tuple[Event, ...]:
    params: Json = {name: "a-name" for name, param in ENTRIES[provider].params.items() if param.required}
    receiving = Receiving(
        {"provider": provider, "auth": "none", "params": params}, {"a-name": "a-value-of-enough"}, NOW
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
        ("ebay", "MARKETPLACE_ACCOUNT_DELETION", "MARKETPLACE_ACCOUNT_DELETION", True),
        ("intercom", "conversation.user.created", "conversation.user.created", True),
        ("microsoft_graph", "reauthorizationRequired", "reauthorizationRequired", False),
        ("razorpay", "payment.captured", "payment.captured", True),
        ("strava", "activity-create", "activity.create", False),
    ],
)
async def test_an_event_has_its_senders_type_and_id(provider: str, sample: str, type_: str, has_id: bool) -> None:
    request = load_sample(provider, sample, Fresh(NOW, "abcdefabcdef", "9876543210")).request
    event = (await received(provider, json.loads(request.body), *request.headers))[0]
    assert (event.type, event.deliveryid is not None) == (type_, has_id)


PUSHED: Final[Json] = {"before": "95790bf8", "user_username": "ann", "project": {"path_with_namespace": "farm/shop"}}
JOINED: Final[Json] = {"event_name": "user_add_to_group", "group_path": "farm", "user_username": "ann"}
JOB: Final[Json] = {
    "project_name": "farm/shop",
    "user": {"name": "Ann"},
    "build_started_at": None,
    "build_created_at": "2021-02-23 02:41:37 UTC",
}
NOTED: Final[Json] = {
    "user": {"username": "ann"},
    "project": {"path_with_namespace": "farm/shop"},
    "object_attributes": {"updated_at": "2015-05-17 18:08:09 UTC"},
}
DEPLOYED: Final[Json] = {
    "user": {"username": "ann"},
    "project": {"path_with_namespace": "farm/shop"},
    "status_changed_at": "2021-04-28 21:50:00 +0200",
}
GARDEN: Final[Json] = {"slug": "shop", "project": {"key": "FARM"}}
BY_ANN: Final[JsonObject] = {"actor": {"name": "ann"}, "date": "2019-03-01T10:08:35+0100"}


@pytest.mark.parametrize(
    ("provider", "body", "facts"),
    [
        ("github", {"organization": {"login": "acme"}, "sender": {"login": "ann"}}, ("acme", "ann", None)),
        ("github", {"installation": {"account": {"login": "acme"}}}, ("acme", None, None)),
        (
            "github",
            {"repository": {"full_name": "acme/shop", "pushed_at": 1557933657}, "pusher": {"name": "ann"}},
            ("acme/shop", None, "2019-05-15T15:20:57.000Z"),
        ),
        ("github", {"repository": {"full_name": "acme/shop", "pushed_at": 1557933657}}, ("acme/shop", None, None)),
        ("github", {"issue": {"updated_at": "2019-05-15T15:20:18Z"}}, (None, None, "2019-05-15T15:20:18.000Z")),
        ("gitlab", PUSHED, ("farm/shop", "ann", None)),
        ("gitlab", JOINED, ("farm", None, None)),
        ("gitlab", JOB, ("farm/shop", None, "2021-02-23T02:41:37.000Z")),
        ("gitlab", NOTED, ("farm/shop", "ann", "2015-05-17T18:08:09.000Z")),
        ("gitlab", DEPLOYED, ("farm/shop", "ann", "2021-04-28T19:50:00.000Z")),
        (
            "gitlab",
            {"event_name": "user_add_to_team", "project_path_with_namespace": "farm/shop", "user_username": "ann"},
            ("farm/shop", None, None),
        ),
        ("gitlab", {"event_name": "group_rename", "path": "shop", "full_path": "farm/shop"}, ("farm/shop", None, None)),
        ("gitlab", {"event_name": "user_create", "username": "ann"}, ("ann", None, None)),
        ("bitbucket_server", {"repository": GARDEN, **BY_ANN}, ("FARM.shop", "ann", "2019-03-01T09:08:35.000Z")),
        (
            "bitbucket_server",
            {"pullRequest": {"toRef": {"repository": GARDEN}}, **BY_ANN},
            ("FARM.shop", "ann", "2019-03-01T09:08:35.000Z"),
        ),
        ("bitbucket_server", {"new": GARDEN, **BY_ANN}, ("FARM.shop", "ann", "2019-03-01T09:08:35.000Z")),
    ],
)
async def test_an_event_says_what_it_is_about_who_caused_it_and_when(
    provider: str, body: Json, facts: tuple[str | None, str | None, str | None]
) -> None:
    [event] = await received(provider, body)
    assert (event.subject, event.actor, event.time) == facts


@pytest.mark.parametrize(
    ("provider", "body", "headers", "event"),
    [
        ("github", {"action": "opened"}, [("X-GitHub-Event", "issues")], ("issues", "opened")),
        ("github", {"ref": "refs/heads/main"}, [("X-GitHub-Event", "push")], ("push", None)),
        (
            "gitlab",
            {"object_attributes": {"action": "merge"}},
            [("X-Gitlab-Event", "Merge Request Hook")],
            ("Merge Request Hook", "merge"),
        ),
        ("gitlab", {"action": "create"}, [("X-Gitlab-Event", "Release Hook")], ("Release Hook", "create")),
        (
            "gitlab",
            {"event_name": "project_create"},
            [("X-Gitlab-Event", "System Hook")],
            ("System Hook", "project_create"),
        ),
        ("gitea", {"action": "label_updated"}, [("X-Gitea-Event", "issues")], ("issues", "label_updated")),
        ("sentry", {"action": "created"}, [("Sentry-Hook-Resource", "issue")], ("issue", "created")),
        (
            "jira",
            {"webhookEvent": "jira:issue_updated", "issue_event_type_name": "issue_assigned"},
            [],
            ("jira:issue_updated", "issue_assigned"),
        ),
        ("linear", {"type": "Issue", "action": "create"}, [], ("Issue", "create")),
        (
            "trello",
            {"action": {"type": "updateCard", "display": {"translationKey": "action_archived_card"}}},
            [],
            ("updateCard", "action_archived_card"),
        ),
        ("discord", {"type": 2, "data": {"name": "deploy", "type": 1}}, [], ("2", "deploy")),
        ("discord", {"type": 3, "data": {"custom_id": "approve"}}, [], ("3", "approve")),
        ("discord", {"type": 1, "event": {"type": "ENTITLEMENT_CREATE"}}, [], ("ENTITLEMENT_CREATE", None)),
    ],
)
async def test_an_event_keeps_its_type_and_has_its_senders_action(
    provider: str, body: Json, headers: list[tuple[str, str]], event: tuple[str, str | None]
) -> None:
    [found] = await received(provider, body, *headers)
    assert (found.type, found.action) == event
