"""The engine around a kind that speaks HTTP, with a kind that a test wrote and a fake way out."""

import asyncio
from dataclasses import replace

import pytest

from functions.notify import success_when
from functions.notify.destination import Attempt, Context
from functions.notify.destination_secrets import DENIED_PAUSE_SECONDS
from functions.notify.http_engine import MAX_BODY_BYTES, MAX_HEAD_BYTES, UNREACHABLE_SECONDS, HttpDestination
from functions.notify.http_kind import (
    OutgoingRequest,
    SecretValues,
    rendered,
    template_view,
)
from shared.delivery import Delivered, Delivery, Disabled, Failed, RetryLater, Unknown
from shared.errors import Permanent, Temporary
from shared.event import to_cloudevent
from shared.fetch import Fetched
from shared.jsontext import Json, to_json
from shared.outgoing.auth import BearerRequestAuth, QueryRequestAuth
from shared.secrets import SecretDenied
from shared.settings import read_settings
from shared.time_bound import bounded
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch
from tests.fakes.notifier import DELIVERY
from tests.fakes.secrets import FakeSecrets
from tests.unit.notify.http_engines import ATTEMPT, TOKEN, URL, Engine, FakeKind, answering


async def test_a_response_is_judged_by_the_kind_and_its_beginning_is_kept() -> None:
    assert await answering(202, b"queued").attempt() == Delivered("202 queued")
    assert isinstance(await answering(400, b"no such list").attempt(), Failed)
    assert isinstance(await answering(410).attempt(), Disabled)


async def test_a_connection_that_fails_is_tried_again_after_a_minute_or_more() -> None:
    outcome = await Engine(FakeFetch()).attempt()
    assert isinstance(outcome, RetryLater)
    assert outcome.after_seconds == UNREACHABLE_SECONDS


async def test_a_request_that_was_sent_and_not_answered_is_unknown() -> None:
    assert isinstance(await Engine(FakeFetch(mute=[URL])).attempt(), Unknown)


@pytest.mark.parametrize(
    ("url", "code"),
    [("https://127.0.0.1/", "address_blocked"), ("ftp://crm.example.com/", "invalid_url")],
)
async def test_what_may_not_be_sent_never_is(url: str, code: str) -> None:
    engine = Engine(FakeFetch(), FakeKind(OutgoingRequest("POST", url)))
    with pytest.raises(Permanent) as raised:
        await engine.attempt()
    assert raised.value.code == code
    assert engine.fetch.asked == []


class DeniedSecrets(FakeSecrets):
    async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
        raise SecretDenied("secret_unavailable", f"this account may read no secret {name!r}, or there is none")


async def test_a_secret_that_may_not_be_read_pauses_its_destination_until_a_grant_takes_effect() -> None:
    engine = Engine(FakeFetch(), secrets=DeniedSecrets({}))
    outcome = await engine.attempt(names=["chat-url"])
    assert isinstance(outcome, RetryLater)
    assert outcome.pause_destination_seconds == DENIED_PAUSE_SECONDS
    assert "may read no secret 'chat-url'" in outcome.reason
    assert "hookchain secrets set" in outcome.reason


@pytest.mark.parametrize(
    ("headers", "after"), [({}, 60.0), ({"retry_after": "7"}, 60.0), ({"retry_after": "90"}, 90.0)]
)
async def test_after_a_429_a_minute_passes_and_more_if_the_receiver_asks_for_it(
    headers: dict[str, str], after: float
) -> None:
    outcome = await answering(429, b"", **headers).attempt()
    assert isinstance(outcome, RetryLater)
    assert outcome.after_seconds == after


@pytest.mark.parametrize("status", [200, 500])
async def test_the_receiver_disables_itself_and_ends_a_delivery_by_a_header(status: int) -> None:
    assert isinstance(await answering(status, webhook_delivery=" Disable ").attempt(), Disabled)
    outcome = await answering(status, webhook_delivery="abort-message").attempt()
    assert isinstance(outcome, Failed)
    assert outcome.code == "refused_by_receiver"


@pytest.mark.parametrize("body", [b'{"ok": false}', b"no JSON", b""])
async def test_a_2xx_is_no_success_where_the_condition_is_false(body: bytes) -> None:
    outcome = await answering(200, body).attempt(success_when="body.ok")
    assert isinstance(outcome, RetryLater)
    assert "success_when" in outcome.reason


@pytest.mark.parametrize(
    "condition", ["body.ok", "status == `200`", "headers.\"x-state\" == 'taken'", "body.ok && status < `300`"]
)
async def test_a_2xx_is_a_success_where_the_condition_is_true(condition: str) -> None:
    engine = answering(200, b'{"ok": true}', x_state="taken")
    assert isinstance(await engine.attempt(success_when=condition), Delivered)


async def test_a_condition_reads_text_and_its_own_failure_is_no_success() -> None:
    assert isinstance(await answering(200, b"OK").attempt(success_when="body == 'OK'"), Delivered)
    assert isinstance(await answering(200, b"[1]").attempt(success_when="starts_with(body, 'OK')"), RetryLater)


async def test_a_condition_that_computes_for_too_long_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(success_when, "bounded", lambda: bounded(0.01))
    outcome = await answering(200, b"[%b1]" % (b"1," * 30_000)).attempt(success_when="body[?to_string(@) == '1']")
    assert isinstance(outcome, RetryLater)
    assert "computes for more than" in outcome.reason


async def test_the_condition_does_not_excuse_another_status() -> None:
    assert isinstance(await answering(400).attempt(success_when="status == `400`"), Failed)


@pytest.mark.slow
async def test_a_template_that_computes_for_too_long_is_a_dead_letter_and_holds_up_no_other_delivery() -> None:
    class LoopingKind(FakeKind):
        def request(
            self, delivery: Delivery, settings: object, secrets: SecretValues, attempt: Attempt
        ) -> OutgoingRequest:
            text = "{% for a in data %}{% for b in data if a == 'x' %}{{ b }}{% endfor %}{% endfor %}"
            rendered("text", text, template_view(delivery))
            raise AssertionError

    items: Json = ["y" * 50] * 30_000
    engine = Engine(FakeFetch(), LoopingKind())
    with pytest.raises(Permanent) as raised:
        await engine.attempt(replace(DELIVERY, event=replace(DELIVERY.event, data=items)))
    assert raised.value.code == "time_limit_exceeded"


@pytest.mark.parametrize(
    "made",
    [
        OutgoingRequest("POST", URL, body=b"x" * (MAX_BODY_BYTES + 1)),
        OutgoingRequest("POST", URL, (("x-a", "x" * 40_000), ("x-b", "x" * 40_000))),
        OutgoingRequest("POST", f"{URL}?{'x' * MAX_HEAD_BYTES}"),
    ],
)
async def test_a_request_that_is_too_large_is_a_dead_letter_and_never_sent(made: OutgoingRequest) -> None:
    class LargeKind(FakeKind):
        def request(
            self, delivery: Delivery, settings: object, secrets: SecretValues, attempt: Attempt
        ) -> OutgoingRequest:
            return made

    engine = Engine(FakeFetch(), LargeKind())
    with pytest.raises(Permanent) as raised:
        await engine.attempt()
    assert raised.value.code == "output_too_large"
    assert engine.fetch.asked == []


async def test_a_large_event_is_whole_when_the_kind_gets_it() -> None:
    engine = answering(200)
    await engine.blobs.put("large", to_json(to_cloudevent(DELIVERY.event)).encode())
    light = replace(DELIVERY.event, data=None, dataref="large")
    await engine.attempt(replace(DELIVERY, event=light))
    assert engine.kind.deliveries == [DELIVERY]


async def test_credentials_that_the_request_names_are_added() -> None:
    auth = (
        BearerRequestAuth(scheme="bearer", secret="crm-token"),
        QueryRequestAuth(scheme="query", parameter="key", secret="crm-token"),
    )
    url = f"{URL}?a=b"
    engine = Engine(
        FakeFetch({f"{url}&key={TOKEN}": Fetched(200, (), b"")}), FakeKind(OutgoingRequest("POST", url, auth=auth))
    )
    assert isinstance(await engine.attempt(), Delivered)
    assert ("authorization", f"Bearer {TOKEN}") in engine.fetch.asked[0].headers


@pytest.mark.parametrize("dedupes", [True, False])
async def test_only_a_receiver_that_dedupes_may_get_a_request_twice(dedupes: bool) -> None:
    engine = answering(200)
    vars(engine.kind)["DEDUPES_REPEATS"] = dedupes
    assert isinstance(await engine.attempt(), Delivered)
    assert engine.fetch.asked[0].may_repeat is dedupes


async def test_the_body_is_read_up_to_64_kib() -> None:
    engine = answering(200, b"x" * 1_000_000)
    assert isinstance(await engine.attempt(), Delivered)
    assert engine.fetch.asked[0].max_bytes == 65_536


async def test_time_that_is_over_before_the_request_is_no_attempt() -> None:
    class SlowSecrets(FakeSecrets):
        async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
            await asyncio.sleep(60)
            return await super().values(name, fresh=fresh)

    engine = Engine(FakeFetch(), secrets=SlowSecrets({"crm-token": TOKEN}))
    context = Context(engine.secrets, read_settings({}), None, FakeClock(), fetch=lambda: engine.fetch)
    destination = HttpDestination(engine.kind, None, ["crm-token"], context)
    with pytest.raises(Temporary, match="attempt_timeout"):
        await destination.attempt(DELIVERY, replace(ATTEMPT, timeout_seconds=0.01))
