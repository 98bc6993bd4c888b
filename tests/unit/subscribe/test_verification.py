"""An endpoint proves that it wants events, where the operator asks for it: by a challenge or a handshake."""

import json
from dataclasses import replace

import pytest

from functions.subscribe.service import Verification, read_settings
from shared.fetch import Fetched, Outgoing
from shared.jsontext import JsonObject
from shared.settings import SliceFault
from shared.signatures.standard_webhooks import verify_standard
from tests.fakes.fetch import FakeFetch
from tests.fakes.subscribe_api import SLICE, Subscribers

URL = "https://customer.example.com/in"


class Receiver(FakeFetch):
    """Answers each request as it is told: `{challenge}` in the text stands for the challenge, `{request}` for all."""

    def __init__(self, text: str = "", status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__()
        self.text, self.status, self.headers = text, status, headers

    async def fetch(self, request: Outgoing) -> Fetched:
        self.asked.append(request)
        if self.text == "{request}":
            return Fetched(self.status, self.headers, request.body)
        challenge = json.loads(request.body)["challenge"] if request.body else ""
        return Fetched(self.status, self.headers, self.text.replace("{challenge}", challenge).encode())


async def ready(kind: Verification, receiver: FakeFetch, **fields: object) -> tuple[Subscribers, str, str, JsonObject]:
    api = Subscribers(settings=replace(read_settings(SLICE), verify=kind), fetch=receiver)
    key = await api.key()
    await api.tenant("acme", key)
    made = await api.endpoint("acme", key, **fields)  # type: ignore[arg-type] # JSON
    return api, key, f"/v1/tenants/acme/endpoints/{made['id']}", made


@pytest.mark.parametrize("text", ['"{challenge}"', '{"challenge": "{challenge}"}', " {challenge}\n"])
async def test_an_endpoint_that_echoes_the_challenge_is_verified(text: str) -> None:
    receiver = Receiver(text)
    api, key, path, made = await ready("challenge", receiver)
    assert made["verified"] is False
    answer = await api.send("POST", f"{path}/verify", by=key)
    assert (answer.status, answer.json["verified"]) == (200, True)
    (asked,) = receiver.asked
    assert json.loads(asked.body)["type"] == "endpoint.verification"
    headers = dict(asked.headers)
    id_, timestamp, signature = (headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    # It raises where the request is not signed.
    verify_standard(
        webhook_id=id_,
        timestamp=timestamp,
        signatures=signature,
        body=asked.body,
        secrets=[str(made["secret"])],
        now=api.clock.now(),
    )
    await api.send("POST", f"{path}/verify", by=key)
    assert len(receiver.asked) == 1


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 200),
        ('{"challenge": 1}', 200),
        ("[" * 4_000, 200),
        ("{challenge}", 500),
        ("{request}", 200),  # a server that repeats whatever it gets has agreed to nothing
    ],
)
async def test_an_endpoint_that_does_not_is_not_and_hears_why_without_its_answer(text: str, status: int) -> None:
    api, key, path, _ = await ready("challenge", Receiver(text, status))
    answer = await api.send("POST", f"{path}/verify", by=key)
    assert (answer.status, answer.code) == (422, "verification_failed")
    assert (await api.send("GET", path, by=key)).json["verified"] is False


@pytest.mark.parametrize("names", [{}, {"customer.example.com": ["10.0.0.1"]}], ids=["out of reach", "private"])
async def test_an_endpoint_that_cannot_be_asked_is_not_verified(names: dict[str, list[str]]) -> None:
    api, key, path, _ = await ready("challenge", FakeFetch(names=names))
    answer = await api.send("POST", f"{path}/verify", by=key)
    assert (answer.status, answer.code) == (422, "verification_failed")


@pytest.mark.parametrize(
    ("headers", "is_verified"),
    [
        ((("webhook-allowed-origin", "hooks.example.com"),), True),
        ((("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "100")), True),
        ((("webhook-allowed-origin", "other.example.com"),), False),
        ((), False),
    ],
)
async def test_cloudevents_handshake_is_an_options_request_that_allows_our_origin(
    headers: tuple[tuple[str, str], ...], is_verified: bool
) -> None:
    receiver = Receiver(headers=headers)
    api, key, path, _ = await ready("cloudevents", receiver, headers={"X-Team": "shop"})
    answer = await api.send("POST", f"{path}/verify", by=key)
    assert answer.status == (200 if is_verified else 422)
    (asked,) = receiver.asked
    assert asked.method == "OPTIONS"
    assert set(asked.headers) == {("X-Team", "shop"), ("webhook-request-origin", "hooks.example.com")}


async def test_another_url_is_to_be_verified_anew_and_anything_else_is_not() -> None:
    api, key, path, _ = await ready("challenge", Receiver("{challenge}"))
    await api.send("POST", f"{path}/verify", by=key)
    assert (await api.send("PATCH", path, {"description": "x"}, by=key)).json["verified"] is True
    assert (await api.send("PATCH", path, {"url": f"{URL}/2"}, by=key)).json["verified"] is False
    test = await api.send("POST", f"{path}/test", {"type": "order.paid"}, by=key)
    assert (test.status, test.code) == (409, "endpoint_inactive")


def test_an_unknown_proof_in_the_slice_ends_the_start() -> None:
    with pytest.raises(SliceFault, match="verify is one of"):
        read_settings({"subscribers": {"verify": "maybe"}})
