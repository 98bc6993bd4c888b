"""An example's body in a format that its source accepts: JSON, or else another format that Hookchain writes.

The checks of receive decide whether it is accepted. Authentication is left out.
"""

from dataclasses import replace
from typing import Final

from deploy.client.hookchain.formats import encode_body, xml_text
from deploy.requests.events import MadeEvent, first_places, format_headers, id_places
from deploy.terminal.command_line import CommandError
from functions.receive.admission import admit
from functions.receive.parsing import read_data, with_content_type_of_body
from functions.receive.source import read_sources
from shared.errors import Rejected
from shared.jsontext import Json, JsonObject, to_json
from shared.limits import DEFAULT
from shared.signatures.content_signing import with_header

_FORMATS: Final = ("json", "xml", "form", "yaml")
"""The formats to try, in this order."""
SCHEMA_MISMATCH: Final = "schema_mismatch"
"""The code of a rejection by the schema of a source."""


def with_accepted_body(source: str, settings: JsonObject, event: MadeEvent) -> MadeEvent:
    """Return the event in the first format in which the source accepts it. Raises CommandError if there is none."""
    rejections: list[Rejected] = []
    for format in _FORMATS:
        try:
            made = in_format(settings, event, format)
            rejection = rejection_of(settings, made)
        except ValueError:  # the format cannot hold the data
            continue
        if rejection is None:
            return made
        rejections.append(rejection)
    mismatches = [each for each in rejections if each.code == SCHEMA_MISMATCH]
    rules = [rule_of(each, settings) for each in (*mismatches, *rejections)] or ["its schema has a value of no format"]
    reason = f"no example can be made for the source {source!r}: {rules[0]}"
    if mismatches or not rejections:
        raise CommandError(f"{reason}. Send a body of your own: hookchain smoke --source {source} --file FILE")
    formats = f"{', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}"
    raise CommandError(f"{reason}. Examples are POST requests in {formats}; send any other request with curl.")


def rule_of(rejection: Rejected, settings: JsonObject) -> str:
    """Return the rule that a rejected example breaks, in a few words."""
    if rejection.code == "malformed_body" and "body" in settings:
        return f"its `body` is {settings['body']}"
    return rejection.detail


def in_format(settings: JsonObject, event: MadeEvent, format: str) -> MadeEvent:
    """Return the event in the format, with a content type that the source accepts for it, if it accepts any.

    Raises ValueError for data that the format cannot hold.
    """
    data, content = event.data, event.data
    assert not isinstance(data, bytes)
    if format == "form":
        content, _ = encode_body(data, format)
    elif format == "xml":
        content = _xml(settings, data)
    elif format == "yaml":
        content = to_json(data).encode()  # which is YAML too, in a single line
    return MadeEvent(content, format, {**event.headers, **format_headers(settings, format)}, event.query)


def _xml(settings: JsonObject, fields: Json) -> bytes:
    """Return the data as XML in a single line.

    Its root is the first name of the paths to the type and the id, unless the source takes the root's content as data.
    """
    if not isinstance(fields, dict):
        raise ValueError("data: must be an object for the format xml")
    root = "event"
    if not settings.get("unwrap"):
        paths = [place.split(".")[1:] for place in (*first_places(settings.get("type")), *id_places(settings))]
        roots = {path[0] for path in paths if len(path) > 1}
        [root] = roots if len(roots) == 1 else [root]
        content = fields.get(root)
        if isinstance(content, dict):
            fields = {name: value for name, value in fields.items() if name != root} | content
    return "".join(xml_text(fields, root).splitlines()).encode()


def rejection_of(settings: JsonObject, event: MadeEvent) -> Rejected | None:
    """Return the rejection by which the source answers the event, once it is authenticated; None if it accepts it.

    Raises ValueError for data that JSON cannot hold.
    """
    unrestricted = {name: value for name, value in settings.items() if name != "allow"}
    [source] = read_sources({"sources": {"s": {**unrestricted, "auth": [{"scheme": "none"}]}}}).values()
    request = replace(event.to_request("example-1"), path="/s")
    try:
        admit(with_header(request, "content-length", str(len(request.body))), {"s": source})
        data = read_data(source, with_content_type_of_body(source, request), DEFAULT).data
        for check in source.data_checks:
            data = check(data)
    except Rejected as rejection:
        return rejection
    return None
