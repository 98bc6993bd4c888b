"""Files that a mail has from its event: the entries of `attach`."""

import re
from typing import Final, TypedDict

from functions.notify.destinations.email import default_mail, mail
from shared import base64_text, did_you_mean, errors, event, jsontext
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
    """One entry of `attach`, its template compiled once."""

    def __init__(self, number: int, entry: AttachmentEntry) -> None:
        self._name = f"attach[{number}]"
        self._filename: Template = one_line_template(f"{self._name}.filename", entry["filename"])
        self._extension = entry["filename"][entry["filename"].rfind(".") :]
        self._content = entry["content"]
        self._type = entry["type"] or _TYPE_OF_EXTENSION.get(self._extension.lower(), DEFAULT_TYPE)

    def attachment(self, view: jsontext.JsonObject) -> mail.Attachment:
        """Raises Permanent: `undefined_field` for a value that the event lacks, or as Template.render does."""
        value: jsontext.Json = view
        for part in self._content.split("."):
            if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            rule = did_you_mean.missing_path(self._content, view, "set it in a step, or correct the path")
            raise errors.Permanent("undefined_field", f"{self._name}.content: {rule}")
        return mail.Attachment(self._safe_filename(view), self._type, _content_bytes(value))

    def _safe_filename(self, view: jsontext.JsonObject) -> str:
        stem = self._filename.render(view).removesuffix(self._extension)
        stem = _UNSAFE_CHARACTERS.sub("_", re.sub(event.UNFIT, "_", stem)).strip(" ._") or "attachment"
        return stem[: MAX_FILENAME_CHARACTERS - len(self._extension)] + self._extension


def _content_bytes(value: jsontext.Json) -> bytes:
    if isinstance(value, dict) and isinstance(encoded := value.get("base64"), str):
        try:
            return base64_text.decode_base64(encoded)
        except ValueError:  # an object of the sender that happens to have this key
            pass
    text = value if isinstance(value, str) else default_mail.indented(value)
    return text.encode("utf-8", "replace")
