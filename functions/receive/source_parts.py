"""The parts of a source that few have, each imported only where a source has it: a start is what senders wait for."""

from typing import TYPE_CHECKING, TypedDict

from shared.jsontext import Json, JsonObject

if TYPE_CHECKING:
    from functions.receive.allow import AllowList
    from functions.receive.browser_form import BrowserForm
    from functions.receive.casts import Cast
    from functions.receive.handshakes import Handshake
    from functions.receive.respond import Respond
    from functions.receive.schema import SchemaCheck


class Parts(TypedDict, total=False):
    allow: "AllowList"
    schema: "SchemaCheck"
    respond: "Respond"
    form: "BrowserForm"
    handshakes: "tuple[Handshake, ...]"
    casts: "tuple[Cast, ...]"


def read_parts(settings: JsonObject) -> Parts:
    parts: Parts = {}
    if isinstance(allow := settings.get("allow"), list):
        parts["allow"] = _allow(allow)
    if "schema" in settings:
        parts["schema"] = _schema(settings["schema"])
    if isinstance(respond := settings.get("respond"), dict):
        parts["respond"] = _respond(respond)
    if isinstance(form := settings.get("form"), dict):
        parts["form"] = _form(form)
    if handshakes := settings.get("handshakes"):
        parts["handshakes"] = _handshakes(handshakes)
    if isinstance(cast := settings.get("cast"), dict):
        parts["casts"] = _casts(cast)
    return parts


def _casts(settings: JsonObject) -> "tuple[Cast, ...]":
    from functions.receive.casts import read_casts

    return read_casts(settings)


def _allow(blocks: list[Json]) -> "AllowList":
    from functions.receive.allow import AllowList

    return AllowList([str(block) for block in blocks])


def _schema(document: Json) -> "SchemaCheck":
    from functions.receive.schema import SchemaCheck

    return SchemaCheck(document)


def _respond(settings: JsonObject) -> "Respond":
    from functions.receive.respond import read_respond

    return read_respond(settings)


def _form(settings: JsonObject) -> "BrowserForm":
    from functions.receive.browser_form import read_form

    return read_form(settings)


def _handshakes(entries: Json) -> "tuple[Handshake, ...]":
    from functions.receive.handshakes import read_handshakes

    return read_handshakes(entries)
