"""A stand-in of Google's documents, and of the files that they are in Drive. Indices count units of UTF-16."""

import copy
import re
from dataclasses import dataclass, field
from typing import Final

from shared.jsontext import Json, JsonObject, mapping_at

_STRIPPED: Final = re.compile("[\x00-\x08\x0c-\x1f\ue000-\uf8ff]")


def error(status: int, message: str = "", reason: str = "", retry_after: str = "") -> tuple[int, Json, str]:
    """Return an answer that reports an error in both of Google's forms."""
    details: Json = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
    errors: Json = [{"reason": reason, "message": message}] if reason else []
    document: Json = {"error": {"code": status, "message": message, "details": details, "errors": errors}}
    return status, document, retry_after


@dataclass
class Document:
    """`text` is that of the body, which ends with a line break. `styles` are those that were given to texts."""

    text: str = "\n"
    named: set[str] = field(default_factory=set)
    revision: int = 1
    styles: list[tuple[str, str]] = field(default_factory=list)
    file: JsonObject = field(default_factory=dict)

    def apply(self, request: Json) -> None:
        assert isinstance(request, dict)
        [(name, value)] = request.items()
        assert isinstance(value, dict)
        match name:
            case "insertText":
                text = str(value["text"])
                assert not _STRIPPED.search(text), "Google would strip it, and each later index would be wrong"
                units = self._units
                index = self._index(mapping_at(value["location"])["index"])
                assert 0 <= index < len(units) - 1
                self._set(units[:index] + text.encode("utf-16-le") + units[index:])
            case "replaceAllText":
                criteria = mapping_at(value["containsText"])
                assert criteria["matchCase"] is True
                self.text = self.text.replace(str(criteria["text"]), str(value["replaceText"]))
            case "createNamedRange":
                self._slice(value)
                self.named.add(str(value["name"]))
            case "deleteParagraphBullets":
                self._slice(value)
            case "updateTextStyle":
                self.styles.append((self._slice(value), str(value["fields"])))
            case "updateParagraphStyle":
                style = str(mapping_at(value["paragraphStyle"]).get("namedStyleType", value["fields"]))
                self.styles.append((self._slice(value), style))
            case "createParagraphBullets":
                text = self._slice(value)
                self.styles.append((text, str(value["bulletPreset"])))
                bounds, units = mapping_at(value["range"]), self._units
                begin, end = self._index(bounds["startIndex"]), self._index(bounds["endIndex"])
                plain = "\n".join(line.lstrip("\t") for line in text.split("\n"))
                self._set(units[:begin] + plain.encode("utf-16-le") + units[end:])
            case _:
                raise AssertionError(f"{name} is not known here")

    @property
    def _units(self) -> bytes:
        return self.text.encode("utf-16-le")

    def _set(self, units: bytes) -> None:
        self.text = units.decode("utf-16-le")

    def _index(self, index: Json) -> int:
        assert isinstance(index, int)
        return 2 * (index - 1)

    def _slice(self, value: JsonObject) -> str:
        bounds, units = mapping_at(value["range"]), self._units
        begin, end = self._index(bounds["startIndex"]), self._index(bounds["endIndex"])
        assert 0 <= begin < end <= len(units), "a range must be in the document, and not empty"
        return units[begin:end].decode("utf-16-le")


@dataclass
class Documents:
    """By id. A document without a `file` is one that somebody shared."""

    by_id: dict[str, Document] = field(default_factory=dict)
    finds_all: bool = True

    def answer(self, api: str, verb: str, path: str, query: dict[str, str], body: Json) -> tuple[int, Json]:
        if api == "drive":
            return self._drive(verb, path.removeprefix("/drive/v3/files"), query, mapping_at(body) if body else {})
        name, _, method = path.removeprefix("/v1/documents/").partition(":")
        if (document := self.by_id.get(name)) is None:
            return error(404, "Requested entity was not found.")[:2]
        if verb == "GET":
            end = len(document.text.encode("utf-16-le")) // 2 + 1
            named: JsonObject = {each: {"name": each} for each in document.named}
            revision = str(document.revision)
            return 200, {"revisionId": revision, "namedRanges": named, "body": {"content": [{"endIndex": end}]}}
        assert method == "batchUpdate"
        return self._updated(name, document, mapping_at(body))

    def _updated(self, name: str, document: Document, body: JsonObject) -> tuple[int, Json]:
        control = mapping_at(body["writeControl"])
        if control["requiredRevisionId"] != str(document.revision):
            return error(400, "The required revision ID does not match the latest revision.")[:2]
        changed, requests = copy.deepcopy(document), body["requests"]
        assert isinstance(requests, list)
        for each in requests:
            changed.apply(each)
        changed.revision += 1
        self.by_id[name] = changed
        return 200, {"documentId": name, "replies": [{} for _ in requests]}

    def _drive(self, verb: str, path: str, query: dict[str, str], body: JsonObject) -> tuple[int, Json]:
        assert query["supportsAllDrives"] == "true"
        if verb == "GET":
            found: list[Json] = [{"id": name} for name, each in self.by_id.items() if _matches(each.file, query["q"])]
            return 200, {"files": found, "incompleteSearch": not self.finds_all}
        template = self.by_id.get(path.removesuffix("/copy").removeprefix("/")) if path else Document()
        if template is None:
            return error(404, "File not found")[:2]
        properties = mapping_at(body["appProperties"])
        assert all(len(f"{key}{value}".encode()) <= 124 for key, value in properties.items()), "Drive takes 124 bytes"
        assert path or body["mimeType"] == "application/vnd.google-apps.document"
        name = f"made-{len(self.by_id)}"
        self.by_id[name] = Document(template.text, file=body)
        return 200, {"id": name}


def _matches(file: JsonObject, query: str) -> bool:
    found = re.fullmatch(r"'([^']+)' in parents and appProperties has \{ key='([^']+)' and value='([^']+)' \}", query)
    assert found, query
    if not file:
        return False
    return file["parents"] == [found[1]] and mapping_at(file["appProperties"]).get(found[2]) == found[3]
