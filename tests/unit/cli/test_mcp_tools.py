"""The tools of `hookchain mcp`: what an assistant gets, and what it never gets."""

import argparse
import io
import json
from pathlib import Path
from typing import Final

import pytest

from deploy.cli.mcp import INSTRUCTIONS, MAX_MESSAGE_BYTES, serve
from deploy.cli.mcp_tools import MAX_BODY_BYTES, Session, tools_of
from deploy.config.compiler import compile_file
from deploy.platforms.choice import TARGET_OPTIONS
from shared.event import Event
from shared.journal import EventEntry
from shared.jsontext import Json, JsonObject
from shared.mcp import ToolServer
from shared.times import rfc3339
from tests.fakes.command import Command, as_objects
from tests.fakes.kept import NOW, OTHER, TELL, Kept

SECRET: Final = "whsec-of-the-shop-0123456789"
CANARY: Final = "canary-of-the-body"
CONFIG: Final = """
sources:
  web: {auth: none}
  shop: {auth: {scheme: hmac, header: X-Sig, secret: shop-key}}
  zoom: {provider: zoom, secret: shop-key}
routes:
  - {name: tell, types: [signup.*], steps: [{set: {data.team: sales}}], to: list}
  - {name: other, types: [order.*], to: list}
destinations: {list: {webhook: {url: https://list.example/in, secret: shop-key}}}
"""


class Assistant:
    """Calls the tools as a client does. Each call returns the text of the result; `is_error` is that of the last."""

    def __init__(self, server: ToolServer) -> None:
        self._server = server
        self.is_error: Json = None

    def text(self, name: str, /, **arguments: Json) -> str:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
        reply = self._server.reply(json.dumps(message).encode())
        assert reply is not None
        result = reply["result"]
        assert isinstance(result, dict)
        self.is_error = result["isError"]
        [content] = as_objects(result["content"])
        return str(content["text"])

    def __call__(self, name: str, /, **arguments: Json) -> JsonObject:
        text = self.text(name, **arguments)
        assert not self.is_error, text
        document: JsonObject = json.loads(text)
        return document

    def fault(self, name: str, /, **arguments: Json) -> str:
        text = self.text(name, **arguments)
        assert self.is_error, text
        return text


def config_folder(state: Path) -> Path:
    return state.with_name(f"{state.name}-config")


def options_in(state: Path) -> argparse.Namespace:
    targets = dict.fromkeys(TARGET_OPTIONS)
    env_file = config_folder(state) / "env"
    return argparse.Namespace(config=None, env_file=env_file, platform="local", state=state, **targets)


@pytest.fixture
def assistant(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Assistant:
    config = config_folder(tmp_path) / "hookchain.yaml"
    config.parent.mkdir()
    config.write_text(CONFIG, encoding="utf-8")
    (config.parent / "env").write_text(f"SHOP_KEY={SECRET}\n", encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(config))
    (tmp_path / "slices").mkdir()
    for function, slice_ in compile_file(config, {}).items():
        (tmp_path / "slices" / f"{function}.json").write_text(json.dumps(slice_), encoding="utf-8")
    session = Session(options_in(tmp_path))
    return Assistant(ToolServer("1.0", INSTRUCTIONS, lambda: tools_of(session)))


def ids_of(listed: Json) -> list[Json]:
    return [each["id"] for each in as_objects(listed)]


def test_events_are_searched(assistant: Assistant, kept: Kept) -> None:
    kept.event("e1e1e1e1", at=NOW - 7_200)
    kept.delivered(kept.event("e2e2e2e2", data={"name": "Ada Lovelace"}))
    kept.event("e3e3e3e3", source="shop", type="order.paid")
    assert ids_of(assistant("search_events")["events"]) == ["e3e3e3e3", "e2e2e2e2", "e1e1e1e1"]
    assert ids_of(assistant("search_events", text="lovelace", since="1h")["events"]) == ["e2e2e2e2"]
    assert ids_of(assistant("search_events", until="1h")["events"]) == ["e1e1e1e1"]
    assert ids_of(assistant("search_events", type="order.*", source="shop")["events"]) == ["e3e3e3e3"]
    found = assistant("search_events", limit=2)
    assert (len(as_objects(found["events"])), found["more"]) == (2, True)
    assert "there is no source 'shpo'; did you mean 'shop'" in assistant.fault("search_events", source="shpo")
    assert "a time is `1h` or `2d` ago" in assistant.fault("search_events", since="yesterday")


def test_an_event_is_shown_without_its_body_and_without_the_responses(assistant: Assistant, kept: Kept) -> None:
    event = kept.event("e1e1e1e1", data={"note": CANARY})
    kept.delivered(event, answer=f"you sent {CANARY}")
    document = assistant("get_event", id="e1e1e1")
    assert CANARY not in json.dumps(document)
    assert document["event"] == {
        "id": "e1e1e1e1",
        "source": "/sources/web",
        "type": "signup.created",
        "subject": "Ada",
        "receivedat": rfc3339(NOW),
        "payloadhash": "0" * 64,
    }
    assert [each["route"] for each in as_objects(document["routes"])] == ["tell", "other"]
    assert [each["outcome"] for each in as_objects(document["attempts"])] == ["delivered"]
    assert [each["state"] for each in as_objects(document["deliveries"])] == ["delivered"]
    assert "no event has an id" in assistant.fault("get_event", id="ffffff")


def test_a_body_is_shown_by_its_own_tool_and_cut(assistant: Assistant, kept: Kept) -> None:
    kept.delivered(kept.event("e1e1e1e1", data={"note": CANARY}), answer="202 ok")
    kept.event("e2e2e2e2", data="é" * MAX_BODY_BYTES)
    shown = assistant("get_event_body", id="e1e1e1e1")
    assert shown["untrusted_body"] == json.dumps({"note": CANARY}, separators=(",", ":"))
    assert shown["untrusted_responses"] == '["list: 202 ok"]'
    assert shown["body_is_cut"] is False
    cut = assistant("get_event_body", id="e2e2e2e2")
    assert (len(str(cut["untrusted_body"]).encode()), cut["body_bytes"], cut["body_is_cut"]) == (16_384, 32_768, True)


def test_a_raw_body_its_headers_and_a_known_secret_never_leave(assistant: Assistant, kept: Kept) -> None:
    raw = Event(
        "e1e1e1e1", "/sources/web", "signup.created", rfc3339(NOW), "0" * 64, {"key": f"it is {SECRET}!"},
        rawbody="raw-canary", rawtype="text/plain", rawheaders='[["x-canary","header-canary"]]',
    )  # fmt: skip
    kept.record(EventEntry(raw, (TELL, OTHER), NOW))
    kept.delivered(raw, answer=f"bad key {SECRET}")
    texts = [assistant.text(name, id="e1e1e1e1") for name in ("get_event", "get_event_body")]
    assert "it is ***!" in texts[1]
    assert not [word for word in ("raw-canary", "header-canary", SECRET) for text in texts if word in text]


def test_a_secret_is_masked_too_while_the_configuration_has_faults(
    assistant: Assistant, kept: Kept, tmp_path: Path
) -> None:
    kept.event("e1e1e1e1", type=SECRET)
    (config_folder(tmp_path) / "hookchain.yaml").write_text("sources: 5", encoding="utf-8")
    assert [each["type"] for each in as_objects(assistant("search_events")["events"])] == ["***"]


def test_deliveries_and_dead_letters_are_listed(assistant: Assistant, kept: Kept) -> None:
    event = kept.event("e1e1e1e1", data=CANARY)
    kept.delivered(event, answer=CANARY)
    kept.waiting(event, "tell", 1)
    letter = kept.dead_letter(kept.event("e2e2e2e2", data=CANARY))
    [delivery] = as_objects(assistant("list_deliveries", event="e1e1e1e1")["deliveries"])
    assert (delivery["destination"], delivery["state"], "answer" in delivery) == ("list", "delivered", False)
    assert assistant("list_deliveries", state="held", destination="list")["deliveries"] == []
    assert "there is no destination 'lst'" in assistant.fault("list_deliveries", destination="lst")
    letters = assistant("list_dead_letters", destination="list", code="request_rejected")
    assert ids_of(letters["dead_letters"]) == [letter]
    assert CANARY not in json.dumps([delivery, letters])
    assert assistant("list_dead_letters", status="replayed")["dead_letters"] == []


def test_sources_destinations_and_providers_are_listed(assistant: Assistant, kept: Kept) -> None:
    kept.event("e1e1e1e1")
    assert [each["source"] for each in as_objects(assistant("list_sources")["sources"])] == ["web", "shop", "zoom"]
    [destination] = as_objects(assistant("list_destinations")["destinations"])
    assert (destination["destination"], destination["state"]) == ("list", "delivering")
    assert assistant("list_providers", name="GitHub")["key"] == "github"
    found = assistant("list_providers", find="github")["providers"]
    assert isinstance(found, dict)
    assert found["github"] == "GitHub"
    assert len(found) < 10
    assert "there is no provider 'gihub'; did you mean 'github'?" in assistant.fault("list_providers", name="gihub")


def test_a_request_is_explained(assistant: Assistant, kept: Kept) -> None:
    report = assistant("explain_request", source="shop", body='{"event": "signup.created"}')
    assert report["deliveries"] == ["list (route 'tell')"]
    assert assistant("explain_request", source="shp/../x", body="{}")["status"] == 404
    assert "headers: each value must be of the type string" in assistant.fault(
        "explain_request", source="shop", body="{}", headers={"A": 1}
    )


def test_an_explanation_is_no_way_to_have_a_text_signed(assistant: Assistant, kept: Kept, command: Command) -> None:
    """Zoom's handshake is answered with a signature of a text that the sender chooses."""
    body = json.dumps({"event": "endpoint.url_validation", "payload": {"plainToken": "v0:1790000000:forged"}})
    report = assistant("explain_request", source="zoom", body=body, headers={"content-type": "application/json"})
    assert "reply" not in report
    assert "encryptedToken" not in json.dumps(report)


def test_a_configuration_text_is_checked_in_the_folder_of_the_current_one(assistant: Assistant, tmp_path: Path) -> None:
    (config_folder(tmp_path) / "any.json").write_text("{}", encoding="utf-8")
    (config_folder(tmp_path) / "state").symlink_to(tmp_path / "slices")
    text = CONFIG.replace("auth: none", "auth: none, schema: any.json")
    assert assistant("lint_configuration", text=text)["faults"] == []
    assert assistant("test_configuration", text=text) == {"tests": []}
    for name in ("env", "state/notify.json", "../x.json"):  # secrets, the state, and what is elsewhere
        fault = assistant.fault("lint_configuration", text=text.replace("any.json", name))
        assert f"'{name}' is not allowed" in fault
    assert "can name no Python files" in assistant.fault("test_configuration", text=f"{CONFIG}\nsteps_from: [own.py]")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_event", {}),
        ("get_event", {"id": "e1e1e1e1", "body": True}),
        ("get_event_body", {}),
        ("explain_request", {"source": "shop"}),
        ("lint_configuration", {}),
        ("test_configuration", {"text": "a: 1", "file": "hookchain.yaml"}),
        ("search_events", {"limit": 1_000}),
        ("search_events", {"status": "lost"}),
        ("list_sources", {"platform": "gcp"}),
    ],
)
def test_a_wrong_argument_does_nothing(name: str, arguments: dict[str, Json], assistant: Assistant, kept: Kept) -> None:
    kept.event("e1e1e1e1")
    assert assistant.fault(name, **arguments).endswith("Nothing was done.")


# The messages on the streams


def test_one_message_a_line_is_answered_until_the_input_ends(assistant: Assistant) -> None:
    ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
    long = b'"' + b"x" * (2 * MAX_MESSAGE_BYTES) + b'"\n'
    replies = io.BytesIO()
    serve(assistant._server, io.BytesIO(ping + b"\n" + long + b'{"method":"x"}\n' + b"{\n" + ping.strip()), replies)
    answers = [json.loads(line) for line in replies.getvalue().splitlines()]
    assert [each.get("result", each.get("error", {}).get("code")) for each in answers] == [{}, -32600, -32700, {}]
