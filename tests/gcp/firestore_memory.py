"""Documents in a dictionary, written and queried as Firestore's documentation says."""

from typing import Final

from shared.jsontext import Json, JsonObject, list_at, mapping_at, objects_at
from tests.gcp.firestore_server import Rejection

TIME: Final = "2026-01-01T00:00:00Z"
MAX_BYTES: Final = 1_048_576
Key = tuple[int, str | int | float]


class MemoryStore:
    def __init__(self) -> None:
        self.documents: dict[str, JsonObject] = {}

    def field(self, collection: str, doc_id: str, name: str) -> Json:
        """As JSON, whichever the database."""
        [found] = [each for path, each in self.documents.items() if path.endswith(f"/{collection}/{doc_id}")]
        return mapping_at(found["fields"])[name]

    def read(self, names: list[str]) -> dict[str, JsonObject]:
        return {name: self.documents[name] for name in names if name in self.documents}

    def write(self, writes: list[JsonObject]) -> JsonObject:
        before = dict(self.documents)
        try:
            for write in writes:
                self._write(write)
        except Rejection:
            self.documents = before
            raise
        results: list[Json] = [{"updateTime": TIME} for _ in writes]
        return {"writeResults": results, "commitTime": TIME}

    def _write(self, write: JsonObject) -> None:
        if "delete" in write:
            self.documents.pop(str(write["delete"]), None)
            return
        update, current = mapping_at(write["update"]), mapping_at(write.get("currentDocument", {}))
        name = str(update["name"])
        if current.get("exists") is False and name in self.documents:
            raise Rejection("ALREADY_EXISTS", f"Document already exists: {name}")
        fields = mapping_at(update["fields"])
        if "updateMask" in write:
            mask = list_at(mapping_at(write["updateMask"])["fieldPaths"])
            known = mapping_at(self.documents.get(name, {}).get("fields", {}))
            kept = {field: value for field, value in known.items() if field not in mask}
            fields = kept | {field: value for field, value in fields.items() if field in mask}
        fields = {
            name: {"nullValue": None} if "nullValue" in mapping_at(each) else each for name, each in fields.items()
        }
        for transform in objects_at(write.get("updateTransforms")):
            fields = _incremented(fields, transform)
        if len(str(fields)) > MAX_BYTES * 4 // 3:
            raise Rejection("INVALID_ARGUMENT", f"Document {name} cannot be written because its size exceeds the limit")
        self.documents[name] = {"name": name, "fields": fields, "createTime": TIME, "updateTime": TIME}

    def query(self, parent: str, query: JsonObject) -> list[JsonObject]:
        [collection] = [str(each["collectionId"]) for each in objects_at(query["from"])]
        prefix = f"{parent}/{collection}/"
        return found_by(query, [each for name, each in sorted(self.documents.items()) if name.startswith(prefix)])


def found_by(query: JsonObject, documents: list[JsonObject]) -> list[JsonObject]:
    """Return those of the documents that the query finds, in its order."""
    where = query.get("where")
    found = [each for each in documents if _holds(each, where if isinstance(where, dict) else {})]
    for order in reversed(objects_at(query.get("orderBy"))):
        path = str(mapping_at(order["field"])["fieldPath"])
        found = [each for each in found if _field(each, path) is not None]
        found.sort(key=lambda each: _key(_field(each, path)), reverse=order["direction"] == "DESCENDING")
    limit = query.get("limit")
    return found[:limit] if isinstance(limit, int) else found


def _incremented(fields: JsonObject, transform: JsonObject) -> JsonObject:
    path, by = str(transform["fieldPath"]), mapping_at(transform["increment"])
    known = mapping_at(fields.get(path, {"integerValue": "0"}))
    return {**fields, path: {"integerValue": str(int(str(known["integerValue"])) + int(str(by["integerValue"])))}}


def _holds(document: JsonObject, where: JsonObject) -> bool:
    if "compositeFilter" in where:
        return all(_holds(document, each) for each in objects_at(mapping_at(where["compositeFilter"])["filters"]))
    if "fieldFilter" not in where:
        return True
    given = mapping_at(where["fieldFilter"])
    field = _field(document, str(mapping_at(given["field"])["fieldPath"]))
    if field is None:
        return False
    value = given["value"]
    if given["op"] == "IN":
        values = objects_at(mapping_at(mapping_at(value)["arrayValue"])["values"])
        assert len(values) <= 30, "IN takes at most 30 values"
        return _key(field) in [_key(each) for each in values]
    mine, other = _key(field), _key(value)
    if mine[0] != other[0]:  # an inequality holds among values of one type only
        return False
    return {
        "EQUAL": mine == other,
        "LESS_THAN": mine < other,
        "LESS_THAN_OR_EQUAL": mine <= other,
        "GREATER_THAN": mine > other,
        "GREATER_THAN_OR_EQUAL": mine >= other,
    }[str(given["op"])]


def _field(document: JsonObject, path: str) -> Json:
    return {"referenceValue": document["name"]} if path == "__name__" else mapping_at(document["fields"]).get(path)


def _key(value: Json) -> Key:
    """Types one after the other, as Firestore sorts them, then by value."""
    [(kind, content)] = mapping_at(value).items()
    match kind:
        case "nullValue":
            return 0, 0
        case "integerValue":
            return 1, int(str(content))
        case "doubleValue":
            return 1, float(str(content))
        case _:
            return {"timestampValue": 2, "stringValue": 3, "bytesValue": 4, "referenceValue": 5}[kind], str(content)
