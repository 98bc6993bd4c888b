"""The body of a webhook, in its format, and the headers that belong to it."""

from dataclasses import replace
from typing import Final
from urllib.parse import quote

from functions.notify.destinations.webhook.prepared import Format, PreparedWebhook, WebhookSettings
from functions.notify.event_content import bytes_in, public_cloudevent
from functions.notify.http_kind import json_in, rendered
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json, JsonObject, kind_of, to_json
from shared.templates import is_template
from shared.writers.text_writers import write_form, write_text
from shared.writers.writing import Unwritable

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

Body = tuple[bytes, list[tuple[str, str]]]
"""The content, and its headers."""


def body_of(event: Event, webhook: PreparedWebhook, view: JsonObject) -> Body:
    """Raises Permanent."""
    if not webhook.has_body:
        return b"", []
    settings = webhook.settings
    try:
        return _written(event, settings, view)
    except Unwritable as fault:
        raise Permanent("conversion_failed", f"the body as {settings['format']}: {fault.message('data')}") from None


def _written(event: Event, settings: WebhookSettings, view: JsonObject) -> Body:
    content_type = CONTENT_TYPES[settings["format"]]
    if settings["body"] is not None:
        return _from_template(settings, view), [("content-type", content_type)]
    if settings["format"] == "text":
        return _text(event, content_type)
    data = _with_fields(event.data, settings, view)
    match settings["format"]:
        case "xml":
            from shared.writers.xml_writer import write_xml  # with its parser

            text = write_xml(data, settings["root"])
        case "yaml":
            from shared.writers.yaml_writer import write_yaml

            text = write_yaml(data)
        case "form":
            text = write_form(data)
        case "cloudevents":
            text = to_json(public_cloudevent(replace(event, data=data)))
        case "cloudevents-binary":
            return _encoded(to_json(data)), [*_binary_headers(event), ("content-type", content_type)]
        case _:
            text = to_json(data)
    return _encoded(text), [("content-type", content_type)]


def _encoded(text: str) -> bytes:
    """Encode the text. Half a surrogate pair, which a sender may have written, becomes a question mark."""
    return text.encode("utf-8", "replace")


def _from_template(settings: WebhookSettings, view: JsonObject) -> bytes:
    """Return the filled template; of JSON, with the fields, if it is JSON."""
    text = rendered("body", settings["body"] or "", view)
    if settings["format"] != "json":
        return _encoded(text)
    try:
        value = json_in(text)
    except (ValueError, RecursionError) as error:
        rule = "must result in JSON; write values as {{ data.name | tojson }}, or use `format: text`"
        raise Permanent("invalid_output", f"template 'body': {rule}") from error
    return _encoded(to_json(_with_fields(value, settings, view))) if settings["fields"] else _encoded(text)


def _with_fields(data: Json, settings: WebhookSettings, view: JsonObject) -> Json:
    if not settings["fields"]:
        return data
    if not isinstance(data, dict):
        raise Permanent("path_conflict", f"fields: need an object to be added to, and the data is {kind_of(data)}")
    if repeated := sorted(data.keys() & settings["fields"].keys()):
        rule = f"the event has a field {repeated[0]!r} of its own, which `fields` may not replace"
        raise Permanent("path_conflict", f"fields: {rule}. Rename one of them")
    added = {name: _field(f"fields.{name}", value, view) for name, value in settings["fields"].items()}
    return {**data, **added}


def _field(name: str, value: Json, view: JsonObject) -> Json:
    return rendered(name, value, view) if isinstance(value, str) and is_template(value) else value


def _text(event: Event, content_type: str) -> Body:
    """Return text and bytes as they are, under the type that a step noted for them; anything else as JSON."""
    data = event.data
    if found := bytes_in(data):
        return found[0], [("content-type", found[1])]
    written_type = event.datatype if isinstance(data, str) and event.datatype else content_type
    return _encoded(write_text(data)), [("content-type", written_type)]


def _binary_headers(event: Event) -> list[tuple[str, str]]:
    """https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#31-binary-content-mode"""
    attributes = public_cloudevent(replace(event, data=None))
    return [
        (f"ce-{name}", quote(str(value).encode("utf-8", "replace"), safe=_UNQUOTED))
        for name, value in attributes.items()
        if name not in ("data", "datacontenttype")
    ]
