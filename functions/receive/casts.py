"""Values of a body that have no types of their own (XML, forms, CSV), converted to the kinds that a source declares."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.casting import CASTS, Kind
from shared.jsontext import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Cast:
    """`path` leads through objects; a list on the way stands for each of its items."""

    path: tuple[str, ...]
    kind: Kind

    def apply(self, data: Json) -> Json:
        """Return the data with the values there converted; a value that does not read as the kind stays as it is."""
        return _converted(data, self.path, CASTS[self.kind], self.kind == "list")


def read_casts(settings: JsonObject) -> tuple[Cast, ...]:
    """Read a source's `cast`: dotted paths such as `data.order.total`, each with its kind."""
    kinds: dict[str, Kind] = {kind: kind for kind in CASTS}
    return tuple(Cast(tuple(path.split(".")[1:]), kinds[str(kind)]) for path, kind in settings.items())


def _converted(value: Json, path: tuple[str, ...], convert: Callable[[Json], Json], to_list: bool) -> Json:
    if isinstance(value, list) and not (to_list and not path):
        return [_converted(item, path, convert, to_list) for item in value]
    if path:
        if not isinstance(value, dict) or path[0] not in value:
            return value
        return {**value, path[0]: _converted(value[path[0]], path[1:], convert, to_list)}
    try:
        return convert(value)
    except ValueError:
        return value
