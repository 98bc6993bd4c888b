"""JSON Schemas that stand alone: what a reference leads to is in the schema itself, under `$defs`.

So a schema can be stored, shown and checked without the document that it came from, and nothing is ever fetched. Faults
of a document are CatalogueFaults, which name the place by a JSON pointer.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias
from urllib.parse import quote, unquote

from shared.jsontext import Json, JsonObject, canonical

MAX_FAULTS: Final = 50


class CatalogueFault(ValueError):
    """A fault of one event type. `path` is a JSON pointer into the document that was read."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"{path or 'the document'}: {rule}")
        self.path = path
        self.rule = rule


class CatalogueFaults(ValueError):
    """All faults of a document, MAX_FAULTS at most."""

    def __init__(self, faults: Iterable[CatalogueFault]) -> None:
        self.faults = tuple(faults)[:MAX_FAULTS]
        super().__init__("\n".join(map(str, self.faults)))


def pointer(path: str, *tokens: str | int) -> str:
    """Return the JSON pointer to a value below `path`."""
    return path + "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


def pointer_of(reference: str) -> str | None:
    """Return the pointer of a local reference, such as `#/components/schemas/Order`; None for any other."""
    text = unquote(reference.removeprefix("#"))
    return text if reference.startswith("#") and (not text or text.startswith("/")) else None


def reference_to(path: str) -> str:
    """Return the local reference to the pointer: its opposite is `pointer_of`."""
    return "#" + quote(path, safe="/~!$&'()*+,;=:@")


def value_at(document: Json, path: str) -> Json:
    """Return the value at the pointer. Raises LookupError."""
    value = document
    for token in _tokens(path):
        if isinstance(value, dict):
            value = value[token]
        elif isinstance(value, list) and token.isdecimal() and len(token) < 8:
            value = value[int(token)]
        else:
            raise LookupError(path)
    return value


def last_token(path: str) -> str:
    return [*_tokens(path)][-1] if path else ""


def _tokens(path: str) -> Iterator[str]:
    return (token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:])


MAX_SCHEMA_BYTES: Final = 200_000
MAX_NODES: Final = 20_000
MAX_DEPTH: Final = 64
MAX_HOPS: Final = 32

_ONE: Final = frozenset(
    {
        "not", "if", "then", "else", "items", "contains", "propertyNames", "contentSchema",
        "additionalProperties", "additionalItems", "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip
_LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
_MAP: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
_IN_PLACE: Final = frozenset({"not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas"})
"""Keywords whose schemas apply to the same value: a loop of them has no end, where one over `properties` has."""
_DYNAMIC: Final = ("$dynamicRef", "$recursiveRef")
_Moved: TypeAlias = Callable[[str, str], str]
"""Returns a reference as it is to be written; gets it, and the pointer to where it is."""
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")


def standalone_schema(
    schema: Json,
    path: str = "",
    document: Json = None,
    reported_path: str | None = None,
    checked: set[bytes] | None = None,
) -> JsonObject:
    """Return the schema with all that it refers to in the document, where it is at `path`; alone: in itself.

    `reported_path` is where faults are said to be, if elsewhere than at `path`. `checked` remembers which schemas of
    the document were checked. Raises CatalogueFault: for a reference that leads out of the document or nowhere, for a
    loop that no value ends, and for what is not JSON Schema 2020-12.
    """
    reported = path if reported_path is None else reported_path
    is_alone = document is None
    if is_alone:
        require_shallow(schema, reported)
    try:
        found = _Bundle(schema if is_alone else document, schema, path).schema()
    except CatalogueFault as fault:
        raise CatalogueFault(reported + fault.path.removeprefix(path), fault.rule) if is_alone else fault from None
    _require_end(found, reported)
    if (size := len(canonical(found))) > MAX_SCHEMA_BYTES:
        rule = f"the schema and what it refers to must be at most {MAX_SCHEMA_BYTES:,} bytes; it has {size:,}"
        raise CatalogueFault(reported, rule)
    _require_schema(found, reported, set() if checked is None else checked)
    return found


def rebased(schema: Json, base: str) -> Json:
    """Return a schema that stands alone with its references as they are where it is put at the pointer `base`."""

    def moved(reference: str, _: str) -> str:
        local = pointer_of(reference)
        return reference if local is None else reference_to(base + local)

    return _rewritten(schema, "", moved, _Budget())


class _Budget:
    """The number of values that may still be copied."""

    def __init__(self) -> None:
        self.nodes = MAX_NODES

    def spend(self, path: str, count: int = 1) -> None:
        self.nodes -= count
        if self.nodes < 0:
            raise CatalogueFault(path, f"the schema and what it refers to must have at most {MAX_NODES:,} values")


class _Bundle:
    def __init__(self, document: Json, schema: Json, path: str) -> None:
        self._document = document
        self._root, self._path = self._followed(schema, path)
        self._own = {where for where, _ in _positions(self._root, self._path)}
        self._names: dict[str, str] = {}
        self._budget = _Budget()
        self._id = self._root.get("$id") if isinstance(self._root, dict) else None

    def schema(self) -> JsonObject:
        made = _rewritten(self._root, self._path, self._moved, self._budget)
        if not isinstance(made, dict):
            return {} if made else {"not": {}}
        made = {key: value for key, value in made.items() if key not in {"$id", "$schema"}}
        added: JsonObject = {}
        while waiting := [(where, name) for where, name in self._names.items() if name not in added]:
            for where, name in waiting:
                added[name] = _inner(self._target(where, where), where, self._moved, self._budget)
        if added:
            own = made.get("$defs")
            made["$defs"] = {**(own if isinstance(own, dict) else {}), **added}
        return made

    def _followed(self, schema: Json, path: str) -> tuple[Json, str]:
        """Follow a schema that is a reference and nothing else."""
        for _ in range(MAX_HOPS):
            if not (isinstance(schema, dict) and schema.keys() == {"$ref"} and isinstance(schema["$ref"], str)):
                break
            where = _local(schema["$ref"], path, None)
            schema, path = self._target(where, path), where
        else:
            raise CatalogueFault(path, "its references lead in a circle")
        if not isinstance(schema, dict | bool):
            raise CatalogueFault(path, "a JSON Schema must be an object")
        return schema, path

    def _moved(self, reference: str, path: str) -> str:
        """Return the reference as it is in the schema that stands alone."""
        where = _local(reference, path, self._id)
        if self._id is not None:  # the schema is a document of its own
            where = self._path + where
        if where in self._own:
            return reference_to(where.removeprefix(self._path))
        if where not in self._names:
            if not isinstance(self._target(where, path), dict | bool):
                raise CatalogueFault(path, f"{reference!r} leads to something that is not a schema")
            self._names[where] = self._free_name(where)
        return f"#/$defs/{self._names[where]}"

    def _free_name(self, where: str) -> str:
        own = self._root.get("$defs") if isinstance(self._root, dict) else None
        used = {*self._names.values(), *(own if isinstance(own, dict) else ())}
        plain = _NO_NAME.sub("_", last_token(where))[:100] or "schema"
        name, number = plain, 2
        while name in used:
            name, number = f"{plain}_{number}", number + 1
        return name

    def _target(self, where: str, path: str) -> Json:
        try:
            return value_at(self._document, where)
        except LookupError:
            raise CatalogueFault(path, f"the reference '#{where}' leads to nothing in the document") from None


def _local(reference: str, path: str, own_id: Json) -> str:
    bare = reference.removeprefix(own_id) if isinstance(own_id, str) and own_id else reference
    where = pointer_of(bare or "#")
    if where is None and bare.startswith("#"):
        raise CatalogueFault(path, f"{reference!r} names an anchor; refer to it by its place, such as '#/$defs/Item'")
    if where is None:
        rule = f"{reference[:200]!r} leads out of the document, and nothing is fetched: put the schema under `$defs`"
        raise CatalogueFault(path, rule)
    return where


def _children(schema: JsonObject) -> Iterator[tuple[str, str | int | None, Json]]:
    """Yield each schema that is directly in this one: the keyword, the key in its value if there is one, the schema."""
    for keyword, value in schema.items():
        if keyword in _MAP and isinstance(value, dict):
            yield from ((keyword, key, item) for key, item in value.items())
        elif keyword in _LIST and isinstance(value, list):
            yield from ((keyword, number, item) for number, item in enumerate(value))
        elif keyword in _ONE and isinstance(value, dict | bool):
            yield keyword, None, value


def _positions(schema: Json, path: str) -> Iterator[tuple[str, JsonObject | bool]]:
    waiting: list[tuple[str, Json]] = [(path, schema)]
    while waiting:
        where, found = waiting.pop()
        if isinstance(found, dict | bool):
            yield where, found
        if isinstance(found, dict):
            waiting += [(_below(where, keyword, key), item) for keyword, key, item in _children(found)]


def _below(path: str, keyword: str, key: str | int | None) -> str:
    return pointer(path, keyword) if key is None else pointer(path, keyword, key)


def _rewritten(schema: Json, path: str, moved: _Moved, budget: _Budget) -> Json:
    """Return a copy with other references. Values that are not schemas, such as the values of `enum`, stay as they
    are."""
    budget.spend(path)
    if not isinstance(schema, dict):
        return schema
    made: JsonObject = {}
    for keyword, value in schema.items():
        where = pointer(path, keyword)
        if keyword in _DYNAMIC:
            raise CatalogueFault(where, f"{keyword} is not supported; use $ref")
        if keyword == "$ref" and isinstance(value, str):
            made[keyword] = moved(value, where)
        elif keyword in _MAP and isinstance(value, dict):
            made[keyword] = {key: _inner(item, pointer(where, key), moved, budget) for key, item in value.items()}
        elif keyword in _LIST and isinstance(value, list):
            made[keyword] = [_inner(item, pointer(where, number), moved, budget) for number, item in enumerate(value)]
        else:
            made[keyword] = _inner(value, where, moved, budget) if keyword in _ONE else value
    return made


def _inner(schema: Json, path: str, moved: _Moved, budget: _Budget) -> Json:
    if isinstance(schema, dict) and "$id" in schema:
        raise CatalogueFault(pointer(path, "$id"), "is allowed at the top of a schema only")
    return _rewritten(schema, path, moved, budget)


def require_shallow(document: Json, path: str = "") -> None:
    """Raises CatalogueFault."""
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise CatalogueFault(path, f"must not be nested more than {MAX_DEPTH} deep")


def _same_value(schema: JsonObject | bool, path: str) -> Iterator[str]:
    """Yield the pointers to the schemas that apply to the same value as this one."""
    if isinstance(schema, bool):
        return
    yield from (_below(path, keyword, key) for keyword, key, _ in _children(schema) if keyword in _IN_PLACE)
    if isinstance(reference := schema.get("$ref"), str) and (target := pointer_of(reference)) is not None:
        yield target


def _require_end(schema: JsonObject, path: str) -> None:
    """Reject a schema that leads back to itself for the same value: no check of a value would end."""
    following = {where: [*_same_value(found, where)] for where, found in _positions(schema, "")}
    done: set[str] = set()
    for start in following:
        open_places = [start]
        entered = {start: iter(following[start])}
        while open_places:
            here = open_places[-1]
            after = next(entered[here], None)
            if after is None:
                done.add(open_places.pop())
                del entered[here]
            elif after in entered:
                raise CatalogueFault(path, f"the reference '#{after}' leads back to itself: no value could be checked")
            elif after not in done:
                open_places.append(after)
                entered[after] = iter(following.get(after, ()))


def _require_schema(schema: JsonObject, path: str, checked: set[bytes]) -> None:
    """Check the schema and each of its definitions, which other schemas may have too. Raises CatalogueFault."""
    # Imported here, because it is slow to import and seldom needed.
    from shared.schema import reference_outside

    definitions = schema.get("$defs")
    if isinstance(definitions, dict):
        for name, each in definitions.items():
            _require_part(each, path, pointer("/$defs", name), checked)
        schema_alone = {key: value for key, value in schema.items() if key != "$defs"}
        _require_part(schema_alone, path, "", checked)
    else:
        _require_part(schema, path, "", checked)
    if (reference := reference_outside(schema)) is not None:
        raise CatalogueFault(path, f"{reference[:200]!r} leads to nothing in the schema")


def _require_part(schema: Json, path: str, inner_path: str, checked: set[bytes]) -> None:
    from jsonschema import Draft202012Validator, SchemaError

    if (digest := hashlib.sha256(canonical(schema)).digest()) in checked:
        return
    try:
        Draft202012Validator.check_schema(schema)  # type: ignore[arg-type] # any value, which it checks
    except SchemaError as error:
        where = pointer(inner_path, *error.absolute_path) or "its top"
        raise CatalogueFault(path, f"is not a JSON Schema 2020-12: {where}: {error.message[:200]}") from error
    checked.add(digest)
