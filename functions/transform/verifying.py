"""Verification of a step's settings by a pydantic model.

The settings of a step are a class with annotations (step.py), so that a function starts without pydantic. The
model of such a class has one of these forms:

    an object        a field for each annotation
    short or full    if the class has a `short_form`: a text may stand for an object with this one field, and with
                     `short_form_lists` also a list of texts
    any other value  if the class has the one annotation WHOLE, whose type is that of all the settings

An operator's own step may be a pydantic model itself.
"""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Annotated, ClassVar, Final, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel, ValidationError, create_model
from pydantic_core import ErrorDetails

from functions.transform.step import WHOLE, Settings, SettingsFault, Step, settings_from
from shared.config.values import fault_text
from shared.did_you_mean import did_you_mean, nearest
from shared.jsontext import Json

AnyStep = TypeVar("AnyStep", bound=Step)
_CONFIG: Final = ConfigDict(extra="forbid")
_FIRST_ITEM: Final = re.compile(r"^\[0\](: |\.)")
"""The beginning of a fault in the first item of a list."""
MAX_PLACE_CHARACTERS: Final = 200
"""The length of the position in a fault. The keys in it are the operator's, and may be a whole pasted document."""


def verified_step(kind: type[AnyStep], written: Json) -> AnyStep:
    """Return the step with these settings, as the operator wrote them. Raises SettingsFault."""
    if issubclass(kind, Settings):
        compiled = compile_settings(kind, written)
        try:
            step: object = settings_from(kind, compiled)
        except ValueError as error:
            raise SettingsFault([str(error)]) from error
    else:
        step = _validated(settings_model(kind), written)  # a model of the operator's own, which is the step
    assert isinstance(step, kind)
    return step


def compile_settings(kind: type[Settings], written: Json) -> Json:
    """Return the settings in full: lists for single values, durations as seconds. Raises SettingsFault."""
    model = _validated(_model_of_settings(kind), written)  # type: ignore[arg-type] # mypy takes it for an instance
    compiled: Json = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return compiled


def _validated(model: type[BaseModel], written: Json) -> BaseModel:
    """Return the settings as the model reads them. Raises SettingsFault, with every fault."""
    try:
        return model.model_validate(written)
    except ValidationError as error:
        raise SettingsFault(_setting_faults(error, model, written)) from error


def settings_model(step: type[Step]) -> type[BaseModel]:
    """Return the model of the step's settings, from which their JSON Schema is made, too."""
    if issubclass(step, BaseModel):
        return step
    assert issubclass(step, Settings)
    return _model_of_settings(step)


@cache
def _model_of_settings(kind: type[Settings]) -> type[BaseModel]:
    """Return the model of the settings as an operator may write them: in short or in full."""
    types = {name: each for name, each in get_type_hints(kind, include_extras=True).items() if _is_setting(each)}
    doc = inspect.cleandoc(kind.__doc__ or "")
    if WHOLE in types:
        return _root_model(kind, doc, types[WHOLE])
    fields = {
        name: (each, Field(default=getattr(kind, name, ...), alias=name.removesuffix("_")))
        for name, each in types.items()
    }
    short = kind.short_form
    in_full = create_model(  # type: ignore[call-overload] # names that are not literal
        f"{kind.__name__}Settings" if short else kind.__name__,
        __config__=_CONFIG,
        __doc__=doc,
        __module__=kind.__module__,
        **fields,
    )
    if not short:
        return in_full
    short_types = (str, list) if kind.short_form_lists else (str,)
    as_written = str | list[str] | in_full if kind.short_form_lists else str | in_full

    def write_in_full(settings: object) -> object:
        return {short: settings} if isinstance(settings, short_types) else settings

    either = Annotated[in_full, BeforeValidator(write_in_full, json_schema_input_type=as_written)]
    return _root_model(kind, doc, either)


def _is_setting(annotation: object) -> bool:
    return annotation is not ClassVar and get_origin(annotation) is not ClassVar


def _root_model(kind: type[Settings], doc: str, root: object) -> type[BaseModel]:
    """Return the model of settings that are no object of fields. `root` is the type of all of them."""
    base = RootModel[root]  # type: ignore[valid-type] # an annotation
    return type(kind.__name__, (base,), {"__doc__": doc, "__module__": kind.__module__})


def _setting_faults(error: ValidationError, model: type[BaseModel], settings: Json) -> list[str]:
    """Return what pydantic found, in an operator's terms.

    A single value that the model takes for a list with one item has no position, because the operator wrote no list.
    """
    faults = [_setting_fault(detail, model) for detail in error.errors(include_url=False)]
    return faults if isinstance(settings, list) else [_FIRST_ITEM.sub("", fault) for fault in faults]


def _setting_fault(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """Return the position of a fault, such as `fields[2].name`, and its reason."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in _written_parts(detail["loc"])]
    place = "".join(parts)[:MAX_PLACE_CHARACTERS].removeprefix(".")
    reason = _reason(detail, model)
    return f"{place}: {reason}" if place else reason


def _reason(detail: ErrorDetails, model: type[BaseModel]) -> str:
    if detail["type"] == "union_tag_invalid":
        return f"there is no scheme {detail['ctx']['tag']!r}; there are: {detail['ctx']['expected_tags']}"
    if detail["type"] == "union_tag_not_found":
        return "has no `scheme`"
    if detail["type"] == "literal_error":
        expected, written = str(detail["ctx"]["expected"]), detail["input"]
        near = nearest(written, re.findall(r"'([^']*)'", expected)) if isinstance(written, str) else None
        return f"must be {expected}" + (f"; did you mean {near!r}?" if near else "")
    if detail["type"] != "extra_forbidden":
        return fault_text(detail)
    root = model.model_fields.get("root")
    if root and get_origin(root.annotation) is list:
        names = getattr(get_args(root.annotation)[0], "__annotations__", ())  # of each object in the list
        return f"there is no such setting; there are: {', '.join(names)}"
    return f"there is no such setting{did_you_mean(str(detail['loc'][-1]), _keys(model))}"


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """Yield the keys of the model, or of the model that a short form stands for."""
    root = model.model_fields.get("root")
    inner = root.annotation if root else None
    fields = inner.model_fields if isinstance(inner, type) and issubclass(inner, BaseModel) else model.model_fields
    yield from (field.alias or name for name, field in fields.items() if name != "root")


def _written_parts(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return the parts of a location that the operator wrote. The others name pydantic's own validators."""
    validators = ("function-", "tagged-union", "[key]")
    return tuple(part for part in location if isinstance(part, int) or not part.startswith(validators))
