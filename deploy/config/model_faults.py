"""Faults as an operator reads them: the name of a setting for its path, and the rule for an error of pydantic."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Final, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from deploy.config.config_file import ConfigFile, DocumentPath, Fault, Unquoted
from shared import expressions, jsontext
from shared.config.values import fault_text
from shared.did_you_mean import did_you_mean, nearest

TAG: Final = "tag:"
"""The beginning of the tags of our models' alternatives. pydantic adds the tag to the path of an error."""
_LISTS: Final = frozenset({"routes", "tests"})
_NAMED: Final = frozenset({"sources", "destinations", "lists", "chains", "event_types"}) | _LISTS


_KEYS_ELSEWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("if", "condition", "filter", "match"), "where"),
    **dict.fromkeys(("event", "events", "on"), "types"),
    **dict.fromkeys(("source", "sources"), "from"),
    **dict.fromkeys(("timezone", "zone"), "tz"),
    **dict.fromkeys(("body", "message", "content"), "text"),
}
"""By the key in other products: our key for the same setting."""
_DURATIONS: Final = frozenset({"timeout", "expires_after", "wait", "max_wait", "every", "pause", "max_pause"})


def fault_at(file: ConfigFile, path: DocumentPath, rule: str) -> Fault:
    return Fault(file.line(_written(path, file.document)), setting_name(file, path), rule)


def setting_name(file: ConfigFile, path: DocumentPath) -> str:
    """Return `source 'crm': auth.secret` for its path. Routes and tests go by their name, or by a number from 1."""
    # pydantic calls an alternative of a union by its validator: `function-before[…]`.
    names = [str(part) for part in _written(path, file.document) if not str(part).startswith("function-")]
    # An event type of `subscribers` is named like an entry of a section: `event type 'order.paid'`.
    if names[:2] == ["subscribers", "event_types"] and len(names) > 2:
        names = names[1:]
    section = names[0] if names else ""
    rest = names[2:]
    if section not in _NAMED or len(names) < 2:
        return ".".join(names)
    label = repr(names[1])
    if section in _LISTS:
        item = file.mapping(section, path[1])
        label = repr(str(item["name"])) if "name" in item else str(int(names[1]) + 1)
    return f"{section.removesuffix('s').replace('_', ' ')} {label}" + (f": {'.'.join(rest)}" if rest else "")


def _written(path: DocumentPath, document: jsontext.Json) -> DocumentPath:
    """Return the path as it is in the file, without the parts that pydantic adds.

    These are the position of a single value that stands for a list, the name of an auth scheme, the tag of an
    alternative, and `[key]` after a key that is at fault.
    """
    written: list[str | int] = []
    inside = document
    for position, part in enumerate(path, 1):
        if _is_scheme(part, path[: position - 1], inside) or str(part).startswith(TAG):
            continue
        if isinstance(part, int) and isinstance(inside, list):
            inside = inside[part] if part < len(inside) else None
        elif isinstance(part, str) and isinstance(inside, dict) and (part in inside or position == len(path)):
            inside = inside.get(part)
        elif inside is not None:
            continue  # what is written there has no such item, so pydantic added the part
        written.append(part)
    return tuple(part for part in written if part != "[key]")


def _is_scheme(part: str | int, before: DocumentPath, inside: jsontext.Json) -> bool:
    """Return whether the part is the name of an auth scheme, which pydantic adds after the scheme's position."""
    return bool(before) and isinstance(before[-1], int) and isinstance(inside, dict) and inside.get("scheme") == part


def model_faults(
    error: ValidationError,
    file: ConfigFile,
    at: DocumentPath,
    model: type[BaseModel],
    known: Collection[DocumentPath] = (),
    outer: Collection[str] = (),
) -> Iterator[Fault]:
    """Yield a fault for each of pydantic's errors, except at `known` paths, which have a fault already."""
    for detail in error.errors(include_url=False):
        path = (*at, *detail["loc"])
        if path not in known:
            value = file.unquoted.get(_written(path, file.document))
            if detail["type"] == "string_type" and value is not None and not value.is_text:
                yield fault_at(file, path, _quoting_rule(value))
            else:
                yield fault_at(file, path, rule_of(detail, model, outer))


def _quoting_rule(value: Unquoted) -> str:
    """Return the rule for a truth value, a number or a null where a text is expected."""
    written = value.written
    read = value.as_json()
    reading = "" if read == written else f", which YAML reads as {read}"
    return f'must be text; got {written or "nothing"}{reading}. Put it in quotes: "{written}"'


def unknown_names(
    file: ConfigFile, path: DocumentPath, kind: str, known: Collection[str] | None = None
) -> Iterator[Fault]:
    """Yield a fault for each name at the path, or in the list there, that is not `known`.

    `kind` is `source`, `route` or `destination`. By default, the known names are the names of that section.
    """
    value = file.value(*path)
    names = file.mapping(f"{kind}s") if known is None else known
    for name in value if isinstance(value, list) else [value]:
        if isinstance(name, str) and name not in names:
            parts = [part.strip() for part in name.split(",")]
            is_list = len(parts) > 1 and all(part in names for part in parts)
            hint = f"; write a list: [{', '.join(parts)}]" if is_list else did_you_mean(name, names)
            yield fault_at(file, path, f"there is no {kind} {name!r}{hint}")


def expression_faults(file: ConfigFile, path: DocumentPath) -> Iterator[Fault]:
    """Yield a fault if the text at the path is no JMESPath expression over an event."""
    expression = file.value(*path)
    if isinstance(expression, str):
        try:
            expressions.over_event(expression)
        except expressions.ExpressionFault as fault:
            rule = "must be a JMESPath expression over the event"
            yield fault_at(file, path, f"{rule}; got {expression!r}: {fault.reason}")


def rule_of(detail: ErrorDetails, model: type[BaseModel], outer: Collection[str] = ()) -> str:
    """Return the rule that is broken and what was found. The error's location is relative to `model`.

    `outer` are keys that belong beside the mapping with the model's keys.
    """
    match detail["type"]:
        case "union_tag_invalid":
            tag = str(detail["ctx"]["tag"])
            expected_tags = str(detail["ctx"]["expected_tags"]).replace("'", "").split(", ")
            return f"there is no scheme {tag!r}{did_you_mean(tag, expected_tags)}"
        case "union_tag_not_found":
            return f"the key {detail['ctx']['discriminator']} is missing{_mistyped('scheme', detail['input'])}"
        case "extra_forbidden":
            *path, key = detail["loc"]
            if not path and key in outer:
                return f"{key} belongs beside this mapping, not in it: it is a setting of every kind of destination"
            keys = keys_at(model, tuple(path))
            meant = _KEYS_ELSEWHERE.get(str(key), "")
            return f"there is no such key{did_you_mean(meant if meant in keys else str(key), keys)}"
        case "missing":
            return fault_text(detail)
        case _:
            return _rule_of_value(detail, model)


def _rule_of_value(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """Return the rule that a value breaks, made more precise where the model or the key says more, and the value."""
    rule = fault_text(detail)
    if detail["type"] == "string_pattern_mismatch" and (examples := _examples_at(model, detail["loc"])):
        rule = f"must have the form of {' or '.join(map(repr, examples))}"
    found = detail["input"]
    key = str(detail["loc"][-1]) if detail["loc"] else ""
    if rule == "must be a mapping" and (keys := keys_at(model, tuple(detail["loc"]))):
        rule = f"must be a mapping with keys such as {', '.join(keys[:4])}"
    elif detail["type"] in {"less_than_equal", "greater_than_equal"} and key in _DURATIONS:
        rule = f"{rule} seconds"
    elif rule == "must be a list" and key == "retry":
        rule = "must be a list of the waits between attempts, such as [1m, 10m, 2h]"
    elif rule == "must be text" and isinstance(found, list | dict):
        example = "; write one condition, such as data.plan == 'pro' && data.paid" if key == "where" else ""
        rule = f"must be text; got {jsontext.kind_of(found)}{example}"
    # A rule that says itself what it got, such as the one of a secret's name, may have left out the value on purpose.
    if isinstance(found, str | int | float) and "; got " not in rule:
        rule = f"{rule}; got {found!r}"
    return f"{rule}{_suggestion(found, detail)}" if detail["type"] == "literal_error" else rule


def _mistyped(key: str, written: object) -> str:
    near = nearest(key, map(str, written)) if isinstance(written, dict) else None
    return f"; got {near!r}; did you mean {key!r}?" if near else ""


def _suggestion(found: object, detail: ErrorDetails) -> str:
    expected = re.findall(r"'([^']*)'", str(detail["ctx"]["expected"]))
    near = nearest(found, expected) if isinstance(found, str) else None
    return f"; did you mean {near!r}?" if near else ""


def _examples_at(model: type[BaseModel], path: DocumentPath) -> list[object]:
    """Return the examples of the field at the path; none if it has none."""
    if not path:  # a value that is the whole of an own kind's settings
        return []
    chosen = next((field for name, field in _fields_at(model, path[:-1]) if path[-1] in {name, field.alias}), None)
    return list(chosen.examples or _inner_examples(chosen.annotation)) if chosen else []


def _inner_examples(annotation: object) -> list[object]:
    """Return the examples in an annotation such as `Annotated[str, Field(…)] | None`."""
    for choice in get_args(annotation):
        for mark in getattr(choice, "__metadata__", ()):
            if isinstance(mark, FieldInfo) and mark.examples:
                return list(mark.examples)
    return []


def keys_at(model: type[BaseModel], path: DocumentPath) -> list[str]:
    """Return the keys that the model allows at the path, as they are written; none if it does not say."""
    return [field.alias or name for name, field in _fields_at(model, path)]


def _fields_at(model: type[BaseModel], path: DocumentPath) -> Iterable[tuple[str, FieldInfo]]:
    found: object = model
    for part in path:
        found = _inside(_unwrapped(found), part)
    unwrapped = _unwrapped(found)
    return unwrapped.model_fields.items() if _is_model(unwrapped) else ()


def _unwrapped(annotation: object) -> object:
    """Return the annotation without Annotated, and without None as its only alternative."""
    if get_origin(annotation) is Annotated:
        return _unwrapped(get_args(annotation)[0])
    choices = [choice for choice in get_args(annotation) if choice is not NoneType]
    is_optional = get_origin(annotation) in {Union, UnionType} and len(choices) == 1
    return _unwrapped(choices[0]) if is_optional else annotation


def _inside(annotation: object, part: str | int) -> object:
    """Return the annotation of a part. In a tagged union, the part is the tag of one of its models."""
    origin, choices = get_origin(annotation), get_args(annotation)
    if origin in {list, dict}:
        return choices[-1]
    if origin in {Union, UnionType}:
        return next((choice for choice in choices if part in _tags(choice)), None)
    fields = annotation.model_fields if _is_model(annotation) else {}
    return next((field.annotation for name, field in fields.items() if part in {name, field.alias}), None)


def _tags(choice: object) -> tuple[object, ...]:
    if get_origin(choice) is Annotated:
        return tuple(each.tag for each in get_args(choice) if isinstance(each, Tag))
    annotations = [field.annotation for field in choice.model_fields.values()] if _is_model(choice) else []
    return tuple(tag for each in annotations if get_origin(each) is Literal for tag in get_args(each))


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
