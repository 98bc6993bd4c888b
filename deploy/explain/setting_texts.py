"""The texts about the settings of a step or of a kind of destination, from their pydantic model."""

import inspect
import json
import re
from collections.abc import Iterator

from pydantic import BaseModel

from functions.transform.settings import Settings
from functions.transform.step import Step


def setting_texts(model: type[Settings] | type[BaseModel] | type[Step]) -> Iterator[str]:
    """Yield the docstrings of the model or step, of the settings that it shares, and of its short form's model."""
    inner = (_inner(model),) if issubclass(model, BaseModel) else ()
    for part in dict.fromkeys((*model.__mro__, *inner)):
        if _is_settings(part):
            text = vars(part).get("__doc__")
            if isinstance(text, str):
                yield inspect.cleandoc(text)


def _is_settings(part: type) -> bool:
    return (
        part is not Settings and issubclass(part, Settings | BaseModel) and not part.__module__.startswith("pydantic")
    )


def _inner(model: type[BaseModel]) -> type[BaseModel]:
    root = model.model_fields.get("root")
    inner = root.annotation if root else None
    return inner if inspect.isclass(inner) and issubclass(inner, BaseModel) else model


def undocumented_settings(model: type[BaseModel], documentation: str) -> Iterator[str]:
    """Yield the settings that no docstring names, which an operator's own step may have."""
    fields = {field.alias or name: field for name, field in _inner(model).model_fields.items() if name != "root"}
    undocumented = {
        name: field for name, field in fields.items() if not re.search(rf"\b{re.escape(name)}\b", documentation)
    }
    width = max(map(len, undocumented), default=0)
    for name, field in undocumented.items():
        default = "required" if field.is_required() else f"default: {json.dumps(field.default, default=str)}"
        yield f"{name.ljust(width)}  {'; '.join(filter(None, (field.description, default)))}"
