"""The attachments of a destination's mails: files whose content an event has."""

import re
from typing import Final, TypedDict

from functions.notify.destinations.email import default_mail
from functions.notify.destinations.email.mail import Attachment
from shared import did_you_mean, errors, jsontext
from shared.event import UNFIT
from shared.templating.template import Template, one_line_template

MAX_FILENAME_CHARACTERS: Final = 100
DEFAULT_TYPE: Final = "application/octet-stream"

# Path separators, what Windows rejects in a name, and characters that change the direction of the text around them.
_UNSAFE_CHARACTERS: Final = re.compile(r"[/\\:*?\"<>|\u202a-\u202e\u2066-\u2069]")
_TYPE_OF_EXTENSION: Final = {
    ".csv": "text/csv",
    ".gz": "application/gzip",
    ".html": "text/html",
    ".ics": "text/calendar",
    ".json": "application/json",
    ".pdf": "application/pdf",
    ".plist": "application/x-plist",
    ".txt": "text/plain",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


class AttachmentEntry(TypedDict):
    """An entry of `attach`, as the slice holds it: AttachmentSettings in settings.py validated it."""

    filename: str
    content: str
    type: str | None


class AttachedFile:
    """One entry of `attach`: what it attaches to each mail. Its template is compiled once."""

    def __init__(self, number: int, entry: AttachmentEntry) -> None:
        self._name = f"attach[{number}]"
        self._filename: Template = one_line_template(f"{self._name}.filename", entry["filename"])
        self._extension = entry["filename"][entry["filename"].rfind(".") :]
        self._content = entry["content"]
        self._type = entry["type"] or _TYPE_OF_EXTENSION.get(self._extension.lower(), DEFAULT_TYPE)

    def attachment(self, view: jsontext.JsonObject) -> Attachment:
        """Return the file of an event. Raises Permanent.

        The code is `undefined_field` if the event has no value at the path, or that of Template.render.
        """
        value: jsontext.Json = view
        for name in self._content.split("."):
            if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            else:
                value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            rule = did_you_mean.missing_path(self._content, view, "set it in a step, or correct the path")
            raise errors.Permanent("undefined_field", f"{self._name}.content: {rule}")
        return Attachment(self._safe_filename(view), self._type, _content_bytes(value))

    def _safe_filename(self, view: jsontext.JsonObject) -> str:
        """Return the filename with the configured extension, whatever an event's values add before it."""
        stem = self._filename.render(view).removesuffix(self._extension)
        stem = _UNSAFE_CHARACTERS.sub("_", re.sub(UNFIT, "_", stem)).strip(" ._") or "attachment"
        return stem[: MAX_FILENAME_CHARACTERS - len(self._extension)] + self._extension


def _content_bytes(value: jsontext.Json) -> bytes:
    """Return the bytes that a step left as `{"base64": …}`, a text in UTF-8, or any other value as indented JSON."""
    if isinstance(value, dict) and isinstance(encoded := value.get("base64"), str):
        try:
            return jsontext.decode_base64(encoded)
        except ValueError:  # an object of the sender that happens to have this key
            pass
    text = value if isinstance(value, str) else default_mail.indented(value)
    return text.encode("utf-8", "replace")
