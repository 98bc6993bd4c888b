"""What pydantic finds, in an operator's words: a fault names the rule and what there is instead."""

import re
from types import NoneType, UnionType
from typing import Annotated, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from deploy.config.faults import Path
from shared.config.values import fault_words
from shared.did_you_mean import did_you_mean, nearest


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


def keys_at(model: type[BaseModel], place: Path) -> list[str]:
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
