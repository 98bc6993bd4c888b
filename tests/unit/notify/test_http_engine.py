"""The engine around a kind that speaks HTTP, with a kind that a test wrote: requests, answers and secrets."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from functions.notify import success_when
from functions.notify.bounded_texts import bounded_templates
from functions.notify.destination import Attempt
from functions.notify.destination_secrets import DENIED_PAUSE_SECONDS
from functions.notify.http_engine import MAX_BODY_BYTES, MAX_HEAD_BYTES, UNREACHABLE_SECONDS, HttpDestination
from functions.notify.http_kind import (
    OutgoingRequest,
    Response,
    SecretValues,
    outcome_by_status,
    rendered,
    template_view,
)
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.errors import Permanent, Temporary
from shared.event import to_cloudevent
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json, to_json
from shared.outgoing.auth import BearerRequestAuth, OAuth2RequestAuth
from shared.secrets import SecretDenied, SecretStoreUnreachable
from shared.time_bound import bounded
from tests.fakes.blobs import FakeBlobs
from tests.fakes.destinations import a_context
from tests.fakes.fetch import FakeFetch
from tests.fakes.notifier import DELIVERY
from tests.fakes.secrets import FakeSecrets

URL = "https://crm.example.com/in"
TOKEN = "token-of-the-crm-1234"


@dataclass
class FakeKind:
    """Posts the event's data with its secret in a header, and judges a response by its status."""

    answer: OutgoingRequest = field(default_factory=lambda: OutgoingRequest("POST", URL))
    deliveries: list[Delivery] = field(default_factory=list)

    def request(self, delivery: Delivery, settings: object, secrets: SecretValues, attempt: Attempt) -> OutgoingRequest:
        self.deliveries.append(delivery)
        headers = tuple((f"x-{name}", values[0]) for name, values in secrets.items())
        return replace(self.answer, headers=headers, body=to_json(delivery.event.data).encode())

    def outcome(self, response: Response) -> Outcome:
        return outcome_by_status(response, "the CRM", failed={400})


@dataclass
class Engine:
    fetch: FakeFetch
    kind: FakeKind = field(default_factory=FakeKind)
    secrets: FakeSecrets = field(default_factory=lambda: FakeSecrets({"crm-token": TOKEN}))
    blobs: FakeBlobs = field(default_factory=FakeBlobs)

    async def attempt(
        self,
        delivery: Delivery = DELIVERY,
        *,
        success_when: str | None = None,
        names: Sequence[str] = (),
        timeout_seconds: float = 15.0,
    ) -> Outcome:
        context = replace(a_context(self.secrets, self.fetch), blobs=self.blobs)
        destination = HttpDestination(self.kind, None, names, context, success_when)
        return await destination.attempt(delivery, Attempt("key-1", 1, 0, 1_790_000_000.0, timeout_seconds))


def answering(status: int, body: bytes = b"", **headers: str) -> Engine:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Engine(FakeFetch({URL: Fetched(status, named, body)}))


async def test_a_response_is_judged_by_the_kind_and_its_beginning_is_kept() -> None:
    assert await answering(202, b"queued").attempt() == Delivered("202 queued")
    assert isinstance(await answering(400, b"no such list").attempt(), Failed)
    assert isinstance(await answering(410).attempt(), Disabled)


async def test_a_request_that_was_sent_and_not_answered_is_unknown_and_one_that_was_not_sent_comes_later() -> None:
    assert isinstance(await Engine(FakeFetch(mute=[URL])).attempt(), Unknown)
    unreachable = await Engine(FakeFetch()).attempt()
    assert isinstance(unreachable, RetryLater)
    assert unreachable.after_seconds == UNREACHABLE_SECONDS


async def test_a_secret_that_may_not_be_read_pauses_its_destination_until_a_grant_takes_effect() -> None:
    denied = SecretDenied("secret_unavailable", "this account may read no secret 'chat-url', or there is none")
    engine = Engine(FakeFetch(), secrets=FakeSecrets({}, denied))
    outcome = await engine.attempt(names=["chat-url"])
    assert isinstance(outcome, RetryLater)
    assert outcome.pause_destination_seconds == DENIED_PAUSE_SECONDS
    assert "may read no secret 'chat-url'" in outcome.reason
    assert "hookchain secrets set" in outcome.reason


@pytest.mark.parametrize(
    ("headers", "after"), [({}, 60.0), ({"retry_after": "7"}, 60.0), ({"retry_after": "90"}, 90.0)]
)
async def test_after_a_429_a_minute_passes_or_what_the_receiver_says(headers: dict[str, str], after: float) -> None:
    outcome = await answering(429, b"", **headers).attempt()
    assert isinstance(outcome, RetryLater)
    assert outcome.after_seconds == after


async def test_the_receiver_disables_itself_and_ends_a_delivery_by_a_header() -> None:
    assert isinstance(await answering(500, webhook_delivery=" Disable ").attempt(), Disabled)
    outcome = await answering(500, webhook_delivery="abort-message").attempt()
    assert isinstance(outcome, Failed)
    assert outcome.code == "refused_by_receiver"


async def test_what_the_receiver_accepts_is_delivered_although_it_wants_no_more() -> None:
    outcome = await answering(200, webhook_delivery="disable").attempt()
    assert isinstance(outcome, Delivered)
    assert "asked for no further deliveries" in outcome.disable_reason
    assert await answering(200, webhook_delivery="abort-message").attempt() == Delivered("200")


@pytest.mark.parametrize(
    ("condition", "status", "body", "kind"),
    [
        *(("body.ok", 200, body, RetryLater) for body in (b'{"ok": false}', b"no JSON", b"")),
        ("body.ok && status < `300`", 200, b'{"ok": true}', Delivered),
        ("headers.\"x-state\" == 'taken'", 200, b"", Delivered),
        ("body == 'OK'", 200, b"OK", Delivered),
        ("starts_with(body, 'OK')", 200, b"[1]", RetryLater),  # the condition itself fails
        *((condition, 400, b"", Failed) for condition in ("status == `400`", "body.ok")),  # it judges no other status
    ],
)
async def test_a_2xx_is_a_success_only_where_the_condition_is_true(
    condition: str, status: int, body: bytes, kind: type[Outcome]
) -> None:
    outcome = await answering(status, body, x_state="taken").attempt(success_when=condition)
    assert isinstance(outcome, kind)
    assert not isinstance(outcome, RetryLater) or "success_when" in outcome.reason


async def test_a_condition_that_computes_for_too_long_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(success_when, "bounded", lambda: bounded(0.01))
    outcome = await answering(200, b"[%b1]" % (b"1," * 30_000)).attempt(success_when="body[?to_string(@) == '1']")
    assert isinstance(outcome, RetryLater)
    assert "computes for more than" in outcome.reason


async def test_a_template_that_computes_for_too_long_is_a_dead_letter_and_holds_up_no_other_delivery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "{% for a in data %}{% for b in data if a == 'x' %}{{ b }}{% endfor %}{% endfor %}"
    kind = FakeKind()
    kind.request = lambda delivery, *_: rendered("text", text, template_view(delivery))  # type: ignore[method-assign, assignment]
    items: Json = ["y" * 50] * 30_000
    monkeypatch.setattr(bounded_templates, "__init__", lambda self: bounded.__init__(self, 0.01))
    with pytest.raises(Permanent, match="time_limit_exceeded"):
        await Engine(FakeFetch(), kind).attempt(replace(DELIVERY, event=replace(DELIVERY.event, data=items)))


@pytest.mark.parametrize(
    "made",
    [
        OutgoingRequest("POST", URL, body=b"x" * (MAX_BODY_BYTES + 1)),
        OutgoingRequest("POST", URL, (("x-a", "x" * 40_000), ("x-b", "x" * 40_000))),
        OutgoingRequest("POST", f"{URL}?{'x' * MAX_HEAD_BYTES}"),
    ],
)
async def test_a_request_that_is_too_large_is_a_dead_letter_and_never_sent(made: OutgoingRequest) -> None:
    kind = FakeKind()
    kind.request = lambda *_: made  # type: ignore[method-assign]
    engine = Engine(FakeFetch(), kind)
    with pytest.raises(Permanent, match="output_too_large"):
        await engine.attempt()
    assert engine.fetch.asked == []


async def test_a_large_event_is_whole_when_the_kind_gets_it() -> None:
    engine = answering(200)
    await engine.blobs.put("large", to_json(to_cloudevent(DELIVERY.event)).encode())
    light = replace(DELIVERY.event, data=None, dataref="large")
    await engine.attempt(replace(DELIVERY, event=light))
    assert engine.kind.deliveries == [DELIVERY]


@pytest.mark.parametrize("dedupes", [True, False])
async def test_only_a_receiver_that_dedupes_may_get_a_request_twice(dedupes: bool) -> None:
    engine = answering(200)
    vars(engine.kind)["DEDUPES_REPEATS"] = dedupes
    assert isinstance(await engine.attempt(), Delivered)
    assert engine.fetch.asked[0].may_repeat is dedupes


async def test_time_that_is_over_before_the_request_is_no_attempt() -> None:
    class SlowSecrets(FakeSecrets):
        async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
            await asyncio.sleep(60)
            return await super().values(name, fresh=fresh)

    engine = Engine(FakeFetch(), secrets=SlowSecrets({"crm-token": TOKEN}))
    with pytest.raises(Temporary, match="attempt_timeout"):
        await engine.attempt(names=["crm-token"], timeout_seconds=0.01)


OAUTH = OAuth2RequestAuth(scheme="oauth2", token_url="https://id.example.com/token", client_id="c", secret="crm-token")


async def test_secrets_are_read_by_name_and_do_not_appear_in_the_kept_answer() -> None:
    engine = answering(200, f"you sent {TOKEN}".encode())
    outcome = await engine.attempt(names=["crm-token"])
    assert outcome == Delivered("200 you sent ***")
    assert engine.fetch.asked[0].headers == (("x-crm-token", TOKEN),)


async def test_a_secret_that_a_header_of_the_response_repeats_is_masked_in_the_outcome() -> None:
    class HeaderKind(FakeKind):
        def outcome(self, response: Response) -> Outcome:
            return Delivered(f"queued at {response.header('location')}")

    engine = Engine(FakeFetch({URL: Fetched(201, (("location", f"/queue?token={TOKEN}"),), b"")}), HeaderKind())
    assert await engine.attempt(names=["crm-token"]) == Delivered("queued at /queue?token=***")


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_after_a_rejected_credential_the_order_of_several_values_is_named(status: int) -> None:
    engine = answering(status, b"no")
    engine.secrets = FakeSecrets({"crm-token": "an-older-token-of-the-crm\nthe-newest-token-of-the-crm"})
    outcome = await engine.attempt(names=["crm-token"])
    assert isinstance(outcome, Disabled | Failed | RetryLater)
    assert ("the first line is sent: it must be the newest" in outcome.reason) is (status != 500)


async def test_a_store_of_secrets_that_fails_is_a_failure_of_our_own_and_nothing_is_sent() -> None:
    unreachable = SecretStoreUnreachable("secret_unavailable", "secret 'crm-token' cannot be read")
    engine = Engine(FakeFetch(), secrets=FakeSecrets({}, unreachable))
    with pytest.raises(Temporary):
        await engine.attempt(names=["crm-token"])
    assert engine.fetch.asked == []


@pytest.mark.parametrize(("texts", "fault"), [({}, "does not exist"), ({"crm-token": ""}, "is empty")])
async def test_a_secret_that_is_missing_or_empty_holds_the_destination_and_names_the_command(
    texts: dict[str, str], fault: str
) -> None:
    engine = Engine(FakeFetch(), secrets=FakeSecrets(texts))
    outcome = await engine.attempt(names=["crm-token"])
    assert outcome == Disabled(f"secret 'crm-token' {fault}: set it with `hookchain secrets set crm-token`")
    assert engine.fetch.asked == []


async def test_a_rejected_secret_that_was_set_again_meanwhile_disables_nothing() -> None:
    class CachingSecrets(FakeSecrets):
        async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
            return await super().values(name) if fresh else ("the-one-before-1234",)

    engine = answering(410)
    engine.secrets = CachingSecrets({"crm-token": TOKEN})
    outcome = await engine.attempt(names=["crm-token"])
    assert isinstance(outcome, RetryLater)
    assert "set since" in outcome.reason

    engine.secrets = FakeSecrets({"crm-token": TOKEN})
    assert isinstance(await engine.attempt(names=["crm-token"]), Disabled)


async def test_credentials_that_the_server_of_tokens_rejects_hold_the_destination() -> None:
    fetch = FakeFetch({OAUTH.token_url: Fetched(401, (), b'{"error": "invalid_client"}')})
    engine = Engine(fetch, FakeKind(OutgoingRequest("POST", URL, auth=(OAUTH,))))
    outcome = await engine.attempt(names=["crm-token"])
    assert isinstance(outcome, Disabled)
    assert "id.example.com rejects the credentials (invalid_client)" in outcome.reason
    assert [request.url for request in fetch.asked] == [OAUTH.token_url]


async def test_a_secret_at_the_end_of_the_excerpt_leaves_no_beginning_of_it() -> None:
    body = b"x" * 490 + TOKEN.encode()
    outcome = await answering(500, body).attempt(names=["crm-token"])
    assert TOKEN[:5] not in outcome.answer
    assert outcome.answer.startswith("500 xxx")


async def test_a_token_that_is_rejected_is_renewed_and_no_longer_if_its_server_rejects_the_credentials() -> None:
    class ExpiringFetch(FakeFetch):
        async def fetch(self, request: Outgoing) -> Fetched:
            answer = await super().fetch(request)
            self.answers[OAUTH.token_url] = Fetched(401, (), b'{"error": "invalid_client"}')
            return answer

    token = Fetched(200, (), b'{"access_token": "an-access-token-5678", "expires_in": 60}')
    fetch = ExpiringFetch({OAUTH.token_url: token, URL: Fetched(401, (), b"")})
    outcome = await Engine(fetch, FakeKind(OutgoingRequest("POST", URL, auth=(OAUTH,)))).attempt(names=["crm-token"])
    assert isinstance(outcome, Disabled)
    assert "rejects the credentials (invalid_client)" in outcome.reason


async def test_a_server_of_tokens_that_is_slower_than_the_attempt_is_the_destinations_trouble() -> None:
    class SlowFetch(FakeFetch):
        async def fetch(self, request: Outgoing) -> Fetched:
            await asyncio.sleep(60)
            return await super().fetch(request)

    engine = Engine(SlowFetch(), FakeKind(OutgoingRequest("POST", URL, auth=(OAUTH,))))
    outcome = await engine.attempt(names=["crm-token"], timeout_seconds=0.01)
    assert outcome == RetryLater("no access token came in time; nothing was sent", UNREACHABLE_SECONDS)


@pytest.mark.parametrize("value", ["token\u201cwith-a-quote", "token-with-a-mark\ufeff", "token\x01-of-the-crm"])
async def test_a_secret_that_no_header_can_hold_holds_the_destination_and_costs_no_delivery(value: str) -> None:
    auth = (BearerRequestAuth(scheme="bearer", secret="crm-token"),)
    engine = Engine(FakeFetch(), FakeKind(OutgoingRequest("POST", URL, auth=auth)), FakeSecrets({"crm-token": value}))
    outcome = await engine.attempt(names=["crm-token"])
    assert isinstance(outcome, Disabled)
    assert "secret 'crm-token' has a character that no header can hold" in outcome.reason
    assert value not in outcome.reason
    assert engine.fetch.asked == []


@pytest.mark.parametrize("host", ["hooks.example.com:22", "user:password@hooks.example.com", "localhost", "10.0.0.1"])
async def test_a_secret_url_that_nothing_is_sent_to_holds_the_destination_and_costs_no_delivery(host: str) -> None:
    class UrlKind(FakeKind):
        def request(
            self, delivery: Delivery, settings: object, secrets: SecretValues, attempt: Attempt
        ) -> OutgoingRequest:
            return OutgoingRequest("POST", f"{secrets['crm-token'][0]}?wait=true")

    secrets = FakeSecrets({"crm-token": f"https://{host}/services/1"})
    outcome = await Engine(FakeFetch(), UrlKind(), secrets).attempt(names=["crm-token"])
    assert isinstance(outcome, Disabled)
    assert "secret 'crm-token' is no URL to send to" in outcome.reason
    assert "hookchain secrets set crm-token" in outcome.reason
    assert host not in outcome.reason


@pytest.mark.parametrize(
    "echo",
    [
        "no such path {path}",
        '{{"url": "https:\\/\\/hooks.example.com{escaped}"}}',
        "GET https%3A%2F%2Fhooks.example.com{quoted}",
        "unknown token a-part-of-a-url-that-is-secret",
        "<a href='{path}&amp;sig=another-secret-of-the-url'>",
    ],
)
async def test_no_spelling_of_a_secret_url_is_left_in_the_answer(echo: str) -> None:
    path = "/services/T1/a-part-of-a-url-that-is-secret?v=1&sig=another-secret-of-the-url"
    texts = {"path": path, "escaped": path.replace("/", "\\/"), "quoted": path.replace("/", "%2F")}
    engine = answering(500, echo.format(**texts).encode())
    engine.secrets = FakeSecrets({"crm-url": f"https://hooks.example.com{path}"})
    outcome = await engine.attempt(names=["crm-url"])
    assert "***" in outcome.answer
    assert "secret" not in outcome.answer
