"""What pydantic finds, in an operator's words: a fault names the rule and what there is instead."""

import re
from types import NoneType, UnionType
from typing import Annotated, Final, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from deploy.config.config_file import ConfigFile
from deploy.config.faults import DocumentPath
from shared.config.values import fault_words
from shared.did_you_mean import did_you_mean, nearest
from shared.jsontext import Json


def rule_of(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """`model` is what the detail's place begins in."""
    match detail["type"]:
        case "union_tag_invalid":
            tag, tags = str(detail["ctx"]["tag"]), str(detail["ctx"]["expected_tags"])
            return f"there is no scheme {tag!r}{did_you_mean(tag, tags.replace(chr(39), '').split(', '))}"
        case "union_tag_not_found":
            return f"the key {detail['ctx']['discriminator']} is missing"
        case "extra_forbidden":
            *place, key = detail["loc"]
            return f"there is no such key{did_you_mean(str(key), keys_at(model, tuple(place)))}"
        case "missing":
            return fault_words(detail)
    rule = fault_words(detail)
    found = detail["input"]
    rule = f"{rule}; found {found!r}" if isinstance(found, str | int | float) else rule
    return f"{rule}{_meant(found, detail)}" if detail["type"] == "literal_error" else rule


def _meant(found: object, detail: ErrorDetails) -> str:
    expected = re.findall(r"'([^']*)'", str(detail["ctx"]["expected"]))
    near = nearest(found, expected) if isinstance(found, str) else None
    return f"; did you mean {near!r}?" if near else ""


def keys_at(model: type[BaseModel], place: DocumentPath) -> list[str]:
    """The keys that may stand at the place, as an operator writes them; none where no model says."""
    found: object = model
    for part in place:
        found = _inside(_bare(found), part)
    bare = _bare(found)
    return [field.alias or name for name, field in bare.model_fields.items()] if _is_model(bare) else []


def _bare(annotation: object) -> object:
    """Without Annotated, and without None as the other choice."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    choices = [choice for choice in get_args(annotation) if choice is not NoneType]
    return _bare(choices[0]) if get_origin(annotation) in {Union, UnionType} and len(choices) == 1 else annotation


def _inside(annotation: object, part: str | int) -> object:
    """A tagged union's part is the tag of one of its models."""
    origin, choices = get_origin(annotation), get_args(annotation)
    if origin in {list, dict}:
        return choices[-1]
    if origin in {Union, UnionType}:
        return next((choice for choice in choices if part in _tags(choice)), None)
    fields = annotation.model_fields if _is_model(annotation) else {}
    return next((field.annotation for name, field in fields.items() if part in {name, field.alias}), None)


def _tags(choice: object) -> tuple[object, ...]:
    annotations = [field.annotation for field in choice.model_fields.values()] if _is_model(choice) else []
    return tuple(tag for each in annotations if get_origin(each) is Literal for tag in get_args(each))


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


_NAMED_INSIDE: Final = frozenset({"routes", "tests"})
_NAMED: Final = frozenset({"sources", "destinations", "lists", "chains"}) | _NAMED_INSIDE


def place(file: ConfigFile, path: DocumentPath) -> str:
    """`source 'crm': auth.secret` for the path to it; what stands in a list goes by its name, or counts from 1."""
    words = [str(part) for part in _written(path, file.document) if not str(part).startswith("function-")]
    section, rest = words[0] if words else "", words[2:]
    if section not in _NAMED or len(words) < 2:
        return ".".join(words)
    name = words[1]
    if section in _NAMED_INSIDE:
        things = file.document[section] if isinstance(file.document, dict) else None
        thing = things[path[1]] if isinstance(things, list) and isinstance(path[1], int) else None
        if not isinstance(thing, dict) or "name" not in thing:
            return f"{section.removesuffix('s')} {int(name) + 1}" + (f": {'.'.join(rest)}" if rest else "")
        name = str(thing["name"])
    return f"{section.removesuffix('s')} {name!r}" + (f": {'.'.join(rest)}" if rest else "")


def _written(path: DocumentPath, document: Json) -> DocumentPath:
    """Without what only a model sees: the position of what stands alone, a scheme's name, the mark of a key."""
    parts: list[str | int] = []
    inside = document
    for position, part in enumerate(path, 1):
        if _is_scheme(part, path[: position - 1], inside):
            continue
        if isinstance(part, int) and isinstance(inside, list):
            inside = inside[part] if part < len(inside) else None
        elif isinstance(part, str) and isinstance(inside, dict) and (part in inside or position == len(path)):
            inside = inside.get(part)
        elif inside is not None:
            continue
        parts.append(part)
    return tuple(part for part in parts if part != "[key]")


def _is_scheme(part: str | int, before: DocumentPath, inside: Json) -> bool:
    """A way of proof has its scheme's name after its position."""
    return bool(before) and isinstance(before[-1], int) and isinstance(inside, dict) and inside.get("scheme") == part
