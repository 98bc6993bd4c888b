"""The body of a webhook's request: the event's data in the configured format, or the operator's own template."""

from dataclasses import replace
from typing import Final, Literal, TypedDict
from urllib.parse import quote

from functions.notify import http_kind
from shared.errors import Permanent
from shared.event import Event
from shared.formats.text_body import bytes_in
from shared.jsontext import Json, JsonObject, kind_of
from shared.templating.template import is_template
from shared.writers import text_writers, writing

Format = Literal["json", "xml", "yaml", "form", "text", "cloudevents", "cloudevents-binary"]

CONTENT_TYPES: Final[dict[Format, str]] = {
    "json": "application/json",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
    "cloudevents": "application/cloudevents+json; charset=utf-8",
    "cloudevents-binary": "application/json",
}
_UNQUOTED: Final = "!#$&'()*+,-./:;<=>?@[]^_`{|}~\\"
"""What stays as it is in a header of CloudEvents' HTTP binding: printable ASCII but space, `"` and `%`."""


class BodySettings(TypedDict):
    """The settings of a body as the slice has them. settings.py says what each means."""

    format: Format
    root: str
    body: str | None
    fields: JsonObject


def body_of(event: Event, settings: BodySettings, view: JsonObject) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers that describe it. `view` is what templates read.

    Raises Permanent: `conversion_failed` for data that the format cannot hold, `path_conflict` for `fields` that the
    event already has, and what a template raises.
    """
    try:
        if settings["body"] is not None:
            content = _from_template(settings["body"], settings, view)
            return content, {"content-type": CONTENT_TYPES[settings["format"]]}
        if settings["format"] == "text":
            return _text_body(event)
        return _data_body(event, settings, view)
    except writing.FormatFault as fault:
        raise Permanent("conversion_failed", f"the body as {settings['format']}: {fault.message('data')}") from None


def _data_body(event: Event, settings: BodySettings, view: JsonObject) -> tuple[bytes, dict[str, str]]:
    """Return the event's data with the fields, in any format but text."""
    data = _with_fields(event.data, settings, view)
    headers = {"content-type": CONTENT_TYPES[settings["format"]]}
    match settings["format"]:
        case "xml":
            # Imported here, because it imports a parser, which few webhooks need.
            from shared.writers.xml_writer import write_xml

            return http_kind.utf8(write_xml(data, settings["root"])), headers
        case "yaml":
            # Imported here, because few webhooks send YAML.
            from shared.writers.yaml_writer import write_yaml

            return http_kind.utf8(write_yaml(data)), headers
        case "form":
            return http_kind.utf8(text_writers.write_form(data)), headers
        case "cloudevents":
            return http_kind.json_body(http_kind.public_cloudevent(replace(event, data=data))), headers
        case "cloudevents-binary":
            return http_kind.json_body(data), _cloudevents_headers(event) | headers
        case _:
            return http_kind.json_body(data), headers


def _text_body(event: Event) -> tuple[bytes, dict[str, str]]:
    """Return text and bytes unchanged, with the type that a step noted for them; anything else as JSON."""
    data = event.data
    if typed_bytes := bytes_in(data):
        content, bytes_type = typed_bytes
        return content, {"content-type": bytes_type}
    text_type = event.datatype if isinstance(data, str) else None
    return http_kind.utf8(text_writers.write_text(data)), {"content-type": text_type or CONTENT_TYPES["text"]}


def _from_template(text: str, settings: BodySettings, view: JsonObject) -> bytes:
    """Return the filled template. With `format: json` it must be JSON, to which the fields are added."""
    filled = http_kind.rendered("body", text, view)
    if settings["format"] != "json":
        return http_kind.utf8(filled)
    try:
        value = http_kind.json_in(filled)
    except (ValueError, RecursionError) as error:
        advice = "write values as {{ data.name | tojson }}, without quotes around them, or use `format: text`"
        rule = f"must result in JSON; {advice}"
        raise Permanent("invalid_output", f"template 'body': {rule}") from error
    if not settings["fields"]:
        return http_kind.utf8(filled)  # as the operator wrote it, with its spaces
    return http_kind.json_body(_with_fields(value, settings, view))


def _with_fields(data: Json, settings: BodySettings, view: JsonObject) -> Json:
    """Return the data with the filled `fields`."""
    fields = settings["fields"]
    if not fields:
        return data
    if not isinstance(data, dict):
        raise Permanent("path_conflict", f"fields: need an object to be added to, and the data is {kind_of(data)}")
    if repeated := sorted(data.keys() & fields.keys()):
        rule = f"the event has a field {repeated[0]!r} of its own, which `fields` may not replace"
        raise Permanent("path_conflict", f"fields: {rule}. Rename one of them")
    filled: JsonObject = {
        name: http_kind.rendered(f"fields.{name}", value, view)
        if isinstance(value, str) and is_template(value)
        else value
        for name, value in fields.items()
    }
    return {**data, **filled}


def _cloudevents_headers(event: Event) -> dict[str, str]:
    """Return the attributes of the event as headers.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#31-binary-content-mode
    """
    attributes = http_kind.public_cloudevent(replace(event, data=None))
    return {
        f"ce-{name}": quote(http_kind.utf8(str(value)), safe=_UNQUOTED)
        for name, value in attributes.items()
        if name not in ("data", "datacontenttype")
    }
