"""The changes of the parsed data that a source's settings `unpack` and `cast` ask for."""

from collections.abc import Callable

from shared.errors import Rejected
from shared.formats.parse import parse_as
from shared.jsontext import Json, JsonObject
from shared.limits import Limits
from shared.signatures.locations import Choices, first_value_at

DataStep = Callable[[Json, Limits], Json]
"""A change of the parsed data that a source's settings ask for. Raises Rejected."""


def unpack(choices: Choices) -> DataStep:
    """Return the step that replaces the data by the object or list that a text field contains as JSON, if it does."""

    def apply(data: Json, limits: Limits) -> Json:
        for [place] in choices:
            packed = first_value_at(place.path, data)
            if isinstance(packed, str) and packed.lstrip()[:1] in {"{", "["}:
                try:
                    return parse_as("json", packed.encode(), None, limits).data
                except Rejected as error:
                    if error.code != "malformed_body":
                        raise
        return data

    return apply


def cast_values(settings: JsonObject) -> DataStep:
    """Return the step that converts values to the kinds of a source's `cast`: dotted paths, each with its kind.

    A path through a list applies to each item. A value that cannot be converted stays as it is.
    """
    # Imported here, because few sources cast.
    from shared.casting import CASTS

    conversions = {str(kind): convert for kind, convert in CASTS.items()}
    casts = [(tuple(path.split(".")[1:]), str(kind)) for path, kind in settings.items()]

    def apply(data: Json, _: Limits) -> Json:
        for path, kind in casts:
            data = _converted(data, path, conversions[kind], to_list=kind == "list")
        return data

    return apply


def _converted(value: Json, path: tuple[str, ...], convert: Callable[[Json], Json], *, to_list: bool) -> Json:
    """Return the value with the values at the path converted."""
    is_already_list = to_list and not path
    if isinstance(value, list) and not is_already_list:
        return [_converted(item, path, convert, to_list=to_list) for item in value]
    if path:
        key, rest = path[0], path[1:]
        if not isinstance(value, dict) or key not in value:
            return value
        return {**value, key: _converted(value[key], rest, convert, to_list=to_list)}
    try:
        return convert(value)
    except ValueError:
        return value
