"""The Model Context Protocol: what a client of each revision gets, and what no client gets."""

import json
from collections.abc import Mapping
from typing import Final

import pytest

from shared import mcp
from shared.jsontext import Json, JsonObject, list_at, mapping_at

META: Final[JsonObject] = {"io.modelcontextprotocol/protocolVersion": mcp.CURRENT}
CALLS: Final[list[JsonObject]] = []


def add(arguments: JsonObject) -> str:
    CALLS.append(arguments)
    return json.dumps(arguments)


def unable(_: JsonObject) -> str:
    raise mcp.ToolFault("there is no\u202eevent")


def broken(_: JsonObject) -> str:
    raise KeyError("a secret in the text of an error")


NUMBER: Final[JsonObject] = {"type": "integer", "description": "A number.", "minimum": 1, "maximum": 9}
WORD: Final[JsonObject] = {"type": "string", "description": "A word.", "enum": ["a", "b"]}
TOOLS: Final[Mapping[str, mcp.Tool]] = {
    "add": mcp.Tool(
        "Add.", add, {"n": NUMBER, "word": WORD, "text": {"type": "string"}, "all": {"type": "boolean"}}, ("n",)
    ),
    "unable": mcp.Tool("Cannot.", unable),
    "broken": mcp.Tool("Fails.", broken, is_writing=True),
    "long": mcp.Tool("Is long.", lambda _: "x" * (mcp.MAX_RESULT_CHARACTERS + 1)),
}


def server() -> mcp.ToolServer:
    CALLS.clear()
    return mcp.ToolServer("1.0", "Instructions.", lambda: TOOLS)


def reply(message: Json) -> JsonObject:
    found = server().reply(json.dumps(message).encode())
    assert found is not None
    return found


def result(method: str, params: JsonObject | None = None, *, is_current: bool = True) -> JsonObject:
    return mapping_at(reply(request(method, params, is_current=is_current))["result"])


def request(method: str, params: JsonObject | None = None, *, is_current: bool = True) -> JsonObject:
    meta: JsonObject = {"_meta": META} if is_current else {}
    whole = {**(params or {}), **meta}
    return {"jsonrpc": "2.0", "id": 7, "method": method, **({"params": whole} if whole else {})}


def called(name: str, arguments: Json) -> tuple[str, Json]:
    found = result("tools/call", {"name": name, "arguments": arguments})
    content = list_at(found["content"])
    assert isinstance(content[0], dict)
    return str(content[0]["text"]), found["isError"]


def test_the_current_revision_is_discovered_without_loading_the_tools() -> None:
    def load() -> Mapping[str, mcp.Tool]:
        raise AssertionError("too slow")

    found = mcp.ToolServer("1.0", "Instructions.", load).reply(json.dumps(request("server/discover")).encode())
    assert found == {
        "jsonrpc": "2.0",
        "id": 7,
        "result": {
            "resultType": "complete",
            "supportedVersions": [mcp.CURRENT],
            "ttlMs": 0,
            "cacheScope": "private",
            "capabilities": {"tools": {}},
            "instructions": "Instructions.",
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "hookchain", "version": "1.0"}},
        },
    }


@pytest.mark.parametrize(
    ("asked", "given"),
    [*zip(mcp.EARLIER, mcp.EARLIER, strict=True), ("2031-01-01", mcp.EARLIER[0]), (3, mcp.EARLIER[0])],
)
def test_an_earlier_revision_is_agreed_on(asked: Json, given: str) -> None:
    found = result("initialize", {"protocolVersion": asked, "capabilities": {}}, is_current=False)
    assert found["protocolVersion"] == given
    assert found["serverInfo"] == {"name": "hookchain", "version": "1.0"}


def test_the_same_tools_are_listed_in_both_forms() -> None:
    current, earlier = result("tools/list"), result("tools/list", is_current=False)
    assert current == {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **earlier}
    [first, *_] = earlier["tools"] if isinstance(earlier["tools"], list) else []
    assert first == {
        "name": "add",
        "description": "Add.",
        "inputSchema": {
            "type": "object",
            "properties": dict(TOOLS["add"].arguments),
            "required": ["n"],
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": True, "destructiveHint": False},
    }
    assert TOOLS["broken"].document("broken")["annotations"] == {"readOnlyHint": False, "destructiveHint": True}


def test_ping_is_answered_in_both_forms() -> None:
    assert result("ping") == {"resultType": "complete"}
    assert result("ping", is_current=False) == {}


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({}, "the argument 'n' is missing"),
        ({"n": 1, "wrod": "a"}, "there is no argument 'wrod'; did you mean 'word'?"),
        ({"n": "1"}, "n: must be of the type integer; got text"),
        ({"n": True}, "n: must be of the type integer; got a boolean"),
        ({"n": 1.5}, "n: must be of the type integer; got a number"),
        ({"n": None}, "n: must be of the type integer; got null"),
        ({"n": 0}, "n: must be from 1 to 9"),
        ({"n": 10}, "n: must be from 1 to 9"),
        ({"n": 1, "word": "c"}, "word: must be one of a, b"),
        ({"n": 1, "text": ""}, "text: must have from 1 to 1,000 characters; got 0"),
        ({"n": 1, "text": "x" * 1_001}, "text: must have from 1 to 1,000 characters; got 1,001"),
        ({"n": 1, "text": "a\ud800"}, "text: must be Unicode text, without a lone surrogate"),
        ({"n": 1, "all": "yes"}, "all: must be of the type boolean; got text"),
    ],
)
def test_a_wrong_argument_is_a_result_that_says_so_and_nothing_is_called(arguments: Json, fault: str) -> None:
    assert called("add", arguments) == (f"{fault}. Nothing was done.", True)
    assert CALLS == []


def test_a_call_gets_what_the_tool_returns() -> None:
    assert called("add", {"n": 2, "word": "b", "text": "ä", "all": False})[1] is False
    assert CALLS == [{"n": 2, "word": "b", "text": "ä", "all": False}]


def test_a_fault_of_a_tool_reveals_nothing_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("unable", {}) == ("there is no\\u202eevent", True)
    text, is_error = called("broken", {})
    assert is_error
    assert "secret" not in text + capsys.readouterr().err
    assert called("long", {})[1] is True


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ([request("ping")], mcp.INVALID_REQUEST),
        ("ping", mcp.INVALID_REQUEST),
        ({**request("ping"), "id": None}, mcp.INVALID_REQUEST),
        ({**request("ping"), "id": True}, mcp.INVALID_REQUEST),
        ({**request("ping"), "id": 1.5}, mcp.INVALID_REQUEST),
        ({**request("ping"), "jsonrpc": "1.0"}, mcp.INVALID_REQUEST),
        ({**request("ping"), "method": 5}, mcp.INVALID_REQUEST),
        ({**request("ping"), "params": [1]}, mcp.INVALID_PARAMS),
        ({**request("ping"), "params": {"_meta": 1}}, mcp.INVALID_PARAMS),
        (request("server/discover", is_current=False), mcp.INVALID_PARAMS),
        (request("tools/list", {"cursor": "x"}), mcp.INVALID_PARAMS),
        (request("tools/call"), mcp.INVALID_PARAMS),
        (request("tools/call", {"name": "ad", "arguments": {"n": 1}}), mcp.INVALID_PARAMS),
        (request("tools/call", {"name": ["add"], "arguments": {"n": 1}}), mcp.INVALID_PARAMS),
        (request("tools/call", {"name": "add", "arguments": [1]}), mcp.INVALID_PARAMS),
        (request("events/list"), mcp.METHOD_NOT_FOUND),
        (request("initialize"), mcp.METHOD_NOT_FOUND),
        (request("resources/list", is_current=False), mcp.METHOD_NOT_FOUND),
    ],
)
def test_a_wrong_message_gets_the_error_of_its_fault(message: Json, code: int) -> None:
    error = mapping_at(reply(message)["error"])
    assert error["code"] == code
    assert CALLS == []


@pytest.mark.parametrize(("version", "shown"), [("2027-01-01", "2027-01-01"), ([[[]]], "a list"), (None, "null")])
def test_another_version_gets_the_versions_that_are_supported(version: Json, shown: str) -> None:
    other: JsonObject = {"_meta": {"io.modelcontextprotocol/protocolVersion": version}}
    message: JsonObject = {**request("ping"), "params": other}
    error = mapping_at(reply(message)["error"])
    assert error["code"] == mcp.UNSUPPORTED_VERSION
    assert error["data"] == {"supported": [mcp.CURRENT], "requested": shown}


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[" * 100_000, b""])
def test_what_is_not_json_is_a_parse_error(text: bytes) -> None:
    found = server().reply(text)
    assert found is not None
    assert found["error"] == {"code": mcp.PARSE_ERROR, "message": "the message must be JSON"}
    assert found["id"] is None


@pytest.mark.parametrize(
    "message", [{"jsonrpc": "2.0", "method": "notifications/initialized"}, {"id": 1, "result": {}}]
)
def test_a_notification_and_a_reply_get_no_reply(message: Json) -> None:
    assert server().reply(json.dumps(message).encode()) is None


@pytest.mark.parametrize("request_id", [0, "server-discover-probe-1"])
def test_an_id_is_echoed_with_its_type(request_id: Json) -> None:
    assert reply({**request("ping"), "id": request_id})["id"] == request_id


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("naïve 日本 🙂\n", "naïve 日本 🙂\n"),
        ("a\u200bb\u202e\x1b[2J", "a\\u200bb\\u202e\\u001b[2J"),
        ("\U000e0049\U000e0047", "\\udb40\\udc49\\udb40\\udc47"),
        ("x\ufe00\U000e0110", "x\\ufe00\\udb40\\udd10"),
        ("\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f", "\\u17b4\\u17b5\\u180b\\u180c\\u180d\\u180e\\u180f"),
        ("\u2800\u3164\u115f\u1160\uffa0\u034f", "\\u2800\\u3164\\u115f\\u1160\\uffa0\\u034f"),
        ("\U00013441\U00016fe4\U0001d159", "\\ud80d\\udc41\\ud81b\\udfe4\\ud834\\udd59"),
        ("\u00ad\u061c\u2060\u2065\ufeff\ufff0", "\\u00ad\\u061c\\u2060\\u2065\\ufeff\\ufff0"),
        ("ខ្មែរ ᠮᠣᠩᠭᠣᠯ ⠓⠊", "ខ្មែរ ᠮᠣᠩᠭᠣᠯ ⠓⠊"),
        ("\ud800", "\\ud800"),
    ],
)
def test_invisible_characters_are_escaped(text: str, shown: str) -> None:
    assert mcp.visible(text) == shown
