"""The Model Context Protocol for a server that offers tools: its messages, in both of its forms.

Revision 2026-07-28 has no session: each request names the protocol version in `params._meta`. Earlier revisions begin
with `initialize`. Many clients still do, so both are served side by side. A transport reads the messages, and writes
what `ToolServer.reply` returns.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from shared import errors
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject, kind_of

CURRENT: Final = "2026-07-28"
EARLIER: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""The earlier revisions, the newest first. A client that asks for an unknown one is offered the newest."""

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
UNSUPPORTED_VERSION: Final = -32022

MAX_RESULT_CHARACTERS: Final = 100_000
"""A longer result would fill the memory of a language model. The assistant is told to ask for less."""
MAX_ARGUMENT_CHARACTERS: Final = 1_000
"""The length of a text argument whose schema sets no `maxLength`."""

_VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
_SERVER_KEY: Final = "io.modelcontextprotocol/serverInfo"
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
}
_NOT_CACHED: Final[JsonObject] = {"ttlMs": 0, "cacheScope": "private"}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NOT_ASCII: Final = re.compile(r"[^ -~]")
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U00013441\U00013442\U00016fe4\U0001d159\U000e0100-\U000e01ef]"
)
"""Characters that Python calls printable, although a font shows nothing: the rest of Unicode's property
Default_Ignorable_Code_Point (variation selectors, fillers, inherent vowels), and letters and symbols that are blank."""


class ToolFault(Exception):
    """A tool cannot do what it was called for. The assistant gets the text, so it says why and what to do."""


class ProtocolFault(Exception):
    """A request breaks the protocol. `code` and `data` are members of the JSON-RPC error."""

    def __init__(self, code: int, text: str, data: Json = None) -> None:
        super().__init__(text)
        self.code = code
        self.data = data


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool.

    description  the text from which an assistant decides when to call it
    run          takes the arguments, and returns the text of the result. Raises ToolFault
    arguments    the JSON Schema of each argument: `type`, `description`, and `enum`, `maxLength`, or both `minimum` and
                 `maximum`
    required     the names of those that must be given
    is_writing   it changes something
    """

    description: str
    run: Callable[[JsonObject], str]
    arguments: Mapping[str, JsonObject] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    is_writing: bool = False

    def document(self, name: str) -> JsonObject:
        schema: JsonObject = {
            "type": "object",
            "properties": dict(self.arguments),
            "required": list(self.required),
            "additionalProperties": False,
        }
        hints: JsonObject = {"readOnlyHint": not self.is_writing, "destructiveHint": self.is_writing}
        return {"name": name, "description": self.description, "inputSchema": schema, "annotations": hints}

    def argument_fault(self, arguments: JsonObject) -> str | None:
        """Return why the arguments are invalid; None if they are not. Invalid arguments are never ignored."""
        if unknown := [name for name in arguments if name not in self.arguments]:
            return f"there is no argument {unknown[0][:40]!r}{did_you_mean(unknown[0][:40], self.arguments)}"
        if missing := [name for name in self.required if name not in arguments]:
            return f"the argument {missing[0]!r} is missing"
        for name, value in arguments.items():
            if fault := _value_fault(value, self.arguments[name]):
                return f"{name}: {fault}"
        return None


def _value_fault(value: Json, schema: JsonObject) -> str | None:
    expected = str(schema["type"])
    is_bool_as_integer = isinstance(value, bool) and expected == "integer"  # in Python, True is an int
    if is_bool_as_integer or not isinstance(value, _TYPES[expected]):
        return f"must be of the type {expected}; got {kind_of(value)}"
    choices = schema.get("enum")
    least = schema.get("minimum")
    most = schema.get("maximum")
    if isinstance(choices, list) and value not in choices:
        return f"must be one of {', '.join(map(str, choices))}"
    if isinstance(value, int) and isinstance(least, int) and isinstance(most, int) and not least <= value <= most:
        return f"must be from {least} to {most}"
    texts = (value,) if not isinstance(value, dict) else (*value, *value.values())
    if any(isinstance(each, str) and _SURROGATE.search(each) for each in texts):
        return "must be Unicode text, without a lone surrogate"
    longest = schema.get("maxLength", MAX_ARGUMENT_CHARACTERS)
    if isinstance(value, str) and isinstance(longest, int) and not 0 < len(value) <= longest:
        return f"must have from 1 to {longest:,} characters; got {len(value):,}"
    return None


def visible(text: str) -> str:
    """Return the text in which each invisible character is escaped as in JSON.

    A sender can hide instructions for a language model in characters that no person sees, and a lone surrogate cannot
    be written as UTF-8.
    """
    return _NOT_ASCII.sub(lambda found: _escaped_if_invisible(found[0]), text)


def _escaped_if_invisible(character: str) -> str:
    if character == "\n" or (character.isprintable() and not _INVISIBLE.match(character)):
        return character
    return json.dumps(character)[1:-1]


class ToolServer:
    """A server of tools. `load_tools` may be slow to import, so it is called when a client first asks for the tools."""

    def __init__(self, version: str, instructions: str, load_tools: Callable[[], Mapping[str, Tool]]) -> None:
        self._server_info: JsonObject = {"name": "hookchain", "version": version}
        self._load_tools = load_tools
        self._instructions = instructions
        self._tools: Mapping[str, Tool] | None = None

    def reply(self, text: bytes) -> JsonObject | None:
        """Return the reply to a message; None for a notification, which gets no reply."""
        try:
            message: Json = json.loads(text)
        except (ValueError, RecursionError):
            return error_reply(None, PARSE_ERROR, "the message must be JSON")
        if not isinstance(message, dict):
            return error_reply(None, INVALID_REQUEST, "the message must be one JSON object")
        if "id" not in message or "method" not in message:  # a notification, or a reply, which nothing waits for
            return None
        request_id = message["id"]
        if isinstance(request_id, bool) or not isinstance(request_id, int | str):
            return error_reply(None, INVALID_REQUEST, "`id` must be an integer or a string")
        try:
            return {"jsonrpc": "2.0", "id": request_id, "result": self._result(message)}
        except ProtocolFault as fault:
            return error_reply(request_id, fault.code, str(fault), fault.data)

    def _result(self, message: JsonObject) -> JsonObject:
        """Return the result of a request. Raises ProtocolFault."""
        method = message["method"]
        params = message.get("params", {})
        if message.get("jsonrpc") != "2.0" or not isinstance(method, str):
            raise ProtocolFault(INVALID_REQUEST, "the message must be a request of JSON-RPC 2.0")
        if not isinstance(params, dict):
            raise ProtocolFault(INVALID_PARAMS, "`params` must be an object")
        meta = params.get("_meta", {})
        if not isinstance(meta, dict):
            raise ProtocolFault(INVALID_PARAMS, "`_meta` must be an object")
        if _VERSION_KEY not in meta:
            return self._earlier_result(method, params)
        if (requested := meta[_VERSION_KEY]) != CURRENT:
            shown = requested[:100] if isinstance(requested, str) else kind_of(requested)
            versions: JsonObject = {"supported": [CURRENT], "requested": shown}
            raise ProtocolFault(UNSUPPORTED_VERSION, "the protocol version is not supported", versions)
        return {"resultType": "complete", **self._current_result(method, params)}

    def _current_result(self, method: str, params: JsonObject) -> JsonObject:
        if method == "server/discover":
            meta: JsonObject = {_SERVER_KEY: self._server_info}
            offer: JsonObject = {"supportedVersions": [CURRENT], "capabilities": {"tools": {}}, "_meta": meta}
            return {**offer, **_NOT_CACHED, "instructions": self._instructions}
        result = self._common_result(method, params)
        return {**result, **_NOT_CACHED} if method == "tools/list" else result

    def _earlier_result(self, method: str, params: JsonObject) -> JsonObject:
        if method == "server/discover":
            raise ProtocolFault(INVALID_PARAMS, f"`_meta` must have {_VERSION_KEY}")
        if method != "initialize":
            return self._common_result(method, params)
        requested = params.get("protocolVersion")
        version = requested if requested in EARLIER else EARLIER[0]
        offer: JsonObject = {"protocolVersion": version, "capabilities": {"tools": {}}}
        return {**offer, "serverInfo": self._server_info, "instructions": self._instructions}

    def _common_result(self, method: str, params: JsonObject) -> JsonObject:
        if method == "ping":
            return {}
        if method == "tools/list":
            if params.get("cursor") is not None:
                raise ProtocolFault(INVALID_PARAMS, "`cursor`: the list has one page")
            return {"tools": [tool.document(name) for name, tool in self.tools.items()]}
        if method == "tools/call":
            return self._call(params.get("name"), params.get("arguments", {}))
        raise ProtocolFault(METHOD_NOT_FOUND, "there is no such method", method[:100])

    @property
    def tools(self) -> Mapping[str, Tool]:
        if self._tools is None:
            self._tools = self._load_tools()
        return self._tools

    def _call(self, name: Json, arguments: Json) -> JsonObject:
        """Return the result of a tool. A tool's fault is a result too, because the assistant reads only results."""
        tool = self.tools.get(name) if isinstance(name, str) else None
        if tool is None:
            raise ProtocolFault(INVALID_PARAMS, f"there is no such tool{did_you_mean(str(name)[:40], self.tools)}")
        if not isinstance(arguments, dict):
            raise ProtocolFault(INVALID_PARAMS, "`arguments` must be an object")
        text, is_fault = _outcome(tool, arguments)
        return {"content": [{"type": "text", "text": text}], "isError": is_fault}


def _outcome(tool: Tool, arguments: JsonObject) -> tuple[str, bool]:
    """Return the text of the result, and whether the text describes a fault."""
    if fault := tool.argument_fault(arguments):
        return f"{fault}. Nothing was done.", True
    try:
        text = visible(tool.run(arguments))
    except ToolFault as unable:
        return visible(str(unable)), True
    except Exception as error:  # a fault in this program must not end the session
        print(f"tool failed: {errors.place_of(error)}", file=sys.stderr)
        return "The tool failed. The server's standard error says where.", True
    if len(text) > MAX_RESULT_CHARACTERS:
        advice = "Use a filter, a smaller limit or a smaller text."
        return f"The result has {len(text):,} characters, which is too much. {advice}", True
    return text, False


def error_reply(request_id: int | str | None, code: int, text: str, data: Json = None) -> JsonObject:
    error: JsonObject = {"code": code, "message": text, **({} if data is None else {"data": data})}
    return {"jsonrpc": "2.0", "id": request_id, "error": error}
