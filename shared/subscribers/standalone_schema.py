"""JSON Schemas that stand alone: the schemas that they refer to are in them, under `$defs`.

    {"$ref": "#/components/schemas/Money"}  becomes  {"$ref": "#/$defs/Money"}, with `Money` under `$defs`

So a schema can be stored, shown and checked without the document that it came from, and nothing is ever fetched. Faults
of a document are CatalogueFaults, which name the place by a JSON pointer.

In this module, a path is a JSON pointer into the document, as text.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from shared.jsontext import Json, JsonObject, canonical
from shared.subscribers import json_pointer

MAX_FAULTS: Final = 50
MAX_SCHEMA_BYTES: Final = 200_000
MAX_NODES: Final = 20_000
"""The most values of a schema, with the schemas that it refers to."""
MAX_DEPTH: Final = 64
"""How deep a document may be nested: the functions that read it call themselves for each level."""
MAX_HOPS: Final = 32
"""The most references in a row, each of which leads to nothing but the next."""

_SCHEMA_KEYWORDS: Final = frozenset(
    {
        "not", "if", "then", "else", "items", "contains", "propertyNames", "contentSchema",
        "additionalProperties", "additionalItems", "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip
"""The keywords whose value can be a schema."""
_LIST_KEYWORDS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
"""The keywords whose value can be a list of schemas."""
_MAP_KEYWORDS: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
"""The keywords whose value is an object of schemas by name."""
_IN_PLACE: Final = frozenset({"not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas"})
"""The keywords whose schemas apply to the same value as the schema around them. A loop of them never ends. A loop over
`properties` ends with the value."""
_DYNAMIC: Final = ("$dynamicRef", "$recursiveRef")
_NewReference: TypeAlias = Callable[[str, str], str]
"""A function that takes a reference and its path, and returns the reference to write instead. Raises CatalogueFault."""
_UNFIT_FOR_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")


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


def standalone_schema(
    schema: Json,
    path: str = "",
    document: Json = None,
    reported_path: str | None = None,
    checked: set[bytes] | None = None,
) -> JsonObject:
    """Return the schema at the path of the document with all schemas of the document that it refers to.

    Without a document, the schema may refer only to itself. Faults name `reported_path` if it is given, else `path`. A
    fault inside of the document names its own path there.
    `checked` has the hashes of the schemas that were checked before, so that each is checked once for a document.

    Raises CatalogueFault for a reference that leads out of the document or to nothing, for a schema that refers to
    itself for the same value, and for what is not JSON Schema 2020-12.
    """
    reported = path if reported_path is None else reported_path
    is_alone = document is None
    if is_alone:
        require_shallow(schema, reported)
    try:
        standalone = _Bundler(schema if is_alone else document, schema, path).bundled()
    except CatalogueFault as fault:
        if not is_alone:
            raise
        raise CatalogueFault(reported + fault.path.removeprefix(path), fault.rule) from None
    _require_no_loop(standalone, reported)
    size = len(canonical(standalone))
    if size > MAX_SCHEMA_BYTES:
        rule = f"the schema and what it refers to must be at most {MAX_SCHEMA_BYTES:,} bytes; it has {size:,}"
        raise CatalogueFault(reported, rule)
    _require_schema(standalone, reported, set() if checked is None else checked)
    return standalone


def rebased(schema: Json, base: str) -> Json:
    """Return a schema that stands alone with references that are right at the path `base` of another document."""

    def new_reference(reference: str, _: str) -> str:
        target = json_pointer.pointer_of(reference)
        return reference if target is None else json_pointer.reference_to(base + target)

    return _rewritten(schema, "", new_reference, _Budget())


class _Budget:
    """The number of values that may still be copied."""

    def __init__(self) -> None:
        self.nodes = MAX_NODES

    def spend(self, path: str, count: int = 1) -> None:
        """Count copied values. Raises CatalogueFault once there were too many."""
        self.nodes -= count
        if self.nodes < 0:
            raise CatalogueFault(path, f"the schema and what it refers to must have at most {MAX_NODES:,} values")


class _Bundler:
    """Makes a schema of a document stand alone. Its methods raise CatalogueFault.

    _root, _path  the schema and its path, after the references that it consists of
    _own_paths    the paths of the schemas that are in the schema already
    _names        the name under `$defs` of each other schema that is referred to, by its path
    _id           the `$id` of the schema; None without one
    """

    def __init__(self, document: Json, schema: Json, path: str) -> None:
        self._document = document
        self._root, self._path = self._followed(schema, path)
        self._own_paths = {own_path for own_path, _ in _positions(self._root, self._path)}
        self._names: dict[str, str] = {}
        self._budget = _Budget()
        self._id = self._root.get("$id") if isinstance(self._root, dict) else None

    def bundled(self) -> JsonObject:
        """Return the schema with the others under `$defs`."""
        rewritten = _rewritten(self._root, self._path, self._new_reference, self._budget)
        if not isinstance(rewritten, dict):  # true allows every value, and false none
            return {} if rewritten else {"not": {}}
        schema = {key: value for key, value in rewritten.items() if key not in {"$id", "$schema"}}
        added: JsonObject = {}
        # To add a schema rewrites its references, and `_new_reference` adds the names of further schemas to `_names`.
        while waiting := [(path, name) for path, name in self._names.items() if name not in added]:
            for path, name in waiting:
                added[name] = _inner(self._target(path, path), path, self._new_reference, self._budget)
        if added:
            own = schema.get("$defs")
            schema["$defs"] = {**(own if isinstance(own, dict) else {}), **added}
        return schema

    def _followed(self, schema: Json, path: str) -> tuple[Json, str]:
        """Return the schema and its path; of a schema that is a reference and nothing else, those of its target."""
        for _ in range(MAX_HOPS):
            if not (isinstance(schema, dict) and schema.keys() == {"$ref"} and isinstance(schema["$ref"], str)):
                break
            target_path = _local(schema["$ref"], path, None)
            schema, path = self._target(target_path, path), target_path
        else:
            raise CatalogueFault(path, "its references lead in a circle")
        if not isinstance(schema, dict | bool):
            raise CatalogueFault(path, "a JSON Schema must be an object")
        return schema, path

    def _new_reference(self, reference: str, path: str) -> str:
        """Return the reference as it is in the schema that stands alone."""
        target_path = _local(reference, path, self._id)
        if self._id is not None:  # a schema with an `$id` is a document of its own, from whose top its references count
            target_path = self._path + target_path
        if target_path in self._own_paths:
            return json_pointer.reference_to(target_path.removeprefix(self._path))
        if target_path not in self._names:
            if not isinstance(self._target(target_path, path), dict | bool):
                raise CatalogueFault(path, f"{reference!r} leads to something that is not a schema")
            self._names[target_path] = self._free_name(target_path)
        return f"#/$defs/{self._names[target_path]}"

    def _free_name(self, path: str) -> str:
        """Return a name for the schema at the path that `$defs` does not have yet."""
        own = self._root.get("$defs") if isinstance(self._root, dict) else None
        used = {*self._names.values(), *(own if isinstance(own, dict) else ())}
        plain = _UNFIT_FOR_NAME.sub("_", json_pointer.last_token(path))[:100] or "schema"
        name, number = plain, 2
        while name in used:
            name, number = f"{plain}_{number}", number + 1
        return name

    def _target(self, target_path: str, path: str) -> Json:
        """Return the value at `target_path`, to which a reference at `path` leads."""
        try:
            return json_pointer.value_at(self._document, target_path)
        except LookupError:
            raise CatalogueFault(path, f"the reference '#{target_path}' leads to nothing in the document") from None


def _local(reference: str, path: str, own_id: Json) -> str:
    """Return the path to which a reference leads, which is at `path`. `own_id` is the schema's own `$id`, if any."""
    bare = reference.removeprefix(own_id) if isinstance(own_id, str) and own_id else reference
    target_path = json_pointer.pointer_of(bare or "#")
    if target_path is not None:
        return target_path
    if bare.startswith("#"):
        raise CatalogueFault(path, f"{reference!r} names an anchor; refer to it by its place, such as '#/$defs/Item'")
    rule = f"{reference[:200]!r} leads out of the document, and nothing is fetched: put the schema under `$defs`"
    raise CatalogueFault(path, rule)


def _children(schema: JsonObject) -> Iterator[tuple[str, str | int | None, Json]]:
    """Yield each schema that is directly in this one: the keyword, the key in its value if there is one, the schema."""
    for keyword, value in schema.items():
        if keyword in _MAP_KEYWORDS and isinstance(value, dict):
            yield from ((keyword, key, item) for key, item in value.items())
        elif keyword in _LIST_KEYWORDS and isinstance(value, list):
            yield from ((keyword, number, item) for number, item in enumerate(value))
        elif keyword in _SCHEMA_KEYWORDS and isinstance(value, dict | bool):
            yield keyword, None, value


def _positions(schema: Json, path: str) -> Iterator[tuple[str, JsonObject | bool]]:
    """Yield the path of this schema and of each schema in it, at any depth, with the schema."""
    waiting: list[tuple[str, Json]] = [(path, schema)]
    while waiting:
        inner_path, inner = waiting.pop()
        if isinstance(inner, dict | bool):
            yield inner_path, inner
        if isinstance(inner, dict):
            waiting += [(_below(inner_path, keyword, key), item) for keyword, key, item in _children(inner)]


def _below(path: str, keyword: str, key: str | int | None) -> str:
    """Return the path of a schema that `_children` yields for the schema at `path`."""
    return json_pointer.pointer(path, keyword) if key is None else json_pointer.pointer(path, keyword, key)


def _rewritten(schema: Json, path: str, new_reference: _NewReference, budget: _Budget) -> Json:
    """Return a copy with new references. Values that are not schemas, such as the values of `enum`, stay as they
    are."""
    budget.spend(path)
    if not isinstance(schema, dict):
        return schema

    def inner(value: Json, inner_path: str) -> Json:
        return _inner(value, inner_path, new_reference, budget)

    copy: JsonObject = {}
    for keyword, value in schema.items():
        value_path = json_pointer.pointer(path, keyword)
        if keyword in _DYNAMIC:
            raise CatalogueFault(value_path, f"{keyword} is not supported; use $ref")
        if keyword == "$ref" and isinstance(value, str):
            copy[keyword] = new_reference(value, value_path)
        elif keyword in _MAP_KEYWORDS and isinstance(value, dict):
            copy[keyword] = {key: inner(item, json_pointer.pointer(value_path, key)) for key, item in value.items()}
        elif keyword in _LIST_KEYWORDS and isinstance(value, list):
            items = enumerate(value)
            copy[keyword] = [inner(item, json_pointer.pointer(value_path, number)) for number, item in items]
        else:
            copy[keyword] = inner(value, value_path) if keyword in _SCHEMA_KEYWORDS else value
    return copy


def _inner(schema: Json, path: str, new_reference: _NewReference, budget: _Budget) -> Json:
    """Return a copy of a schema that is in another one, as _rewritten does."""
    if isinstance(schema, dict) and "$id" in schema:
        raise CatalogueFault(json_pointer.pointer(path, "$id"), "is allowed at the top of a schema only")
    return _rewritten(schema, path, new_reference, budget)


def require_shallow(document: Json, path: str = "") -> None:
    """Raise CatalogueFault for a document that is nested too deeply, before anything reads it by recursion."""
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
    if isinstance(reference := schema.get("$ref"), str) and (target := json_pointer.pointer_of(reference)) is not None:
        yield target


def _require_no_loop(schema: JsonObject, path: str) -> None:
    """Raise CatalogueFault for a schema that leads back to itself for the same value: no check of a value would end.

    The schemas are searched depth first, without recursion. `open_places` is the way from the start to here. `entered`
    has what is left to try at each of these places. From the places that are `done`, no way leads into a loop.
    """
    following = {where: [*_same_value(inner, where)] for where, inner in _positions(schema, "")}
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
    from shared.schema import unresolvable_reference

    definitions = schema.get("$defs")
    if isinstance(definitions, dict):
        for name, each in definitions.items():
            _require_part(each, path, json_pointer.pointer("/$defs", name), checked)
        schema_alone = {key: value for key, value in schema.items() if key != "$defs"}
        _require_part(schema_alone, path, "", checked)
    else:
        _require_part(schema, path, "", checked)
    if (reference := unresolvable_reference(schema)) is not None:
        raise CatalogueFault(path, f"{reference[:200]!r} leads to nothing in the schema")


def _require_part(schema: Json, path: str, inner_path: str, checked: set[bytes]) -> None:
    """Raise CatalogueFault for what is not JSON Schema 2020-12. A schema in `checked` has been checked before.

    `path` is the path that a fault names, and `inner_path` the one inside the schema that stands alone.
    """
    # Imported here, because it is slow to import and seldom needed.
    from jsonschema import Draft202012Validator, SchemaError

    if (digest := hashlib.sha256(canonical(schema)).digest()) in checked:
        return
    try:
        Draft202012Validator.check_schema(schema)  # type: ignore[arg-type] # any value, which it checks
    except SchemaError as error:
        where = json_pointer.pointer(inner_path, *error.absolute_path) or "its top"
        raise CatalogueFault(path, f"is not a JSON Schema 2020-12: {where}: {error.message[:200]}") from error
    checked.add(digest)
