"""Count: how many there are."""

from typing import ClassVar, Literal

from functions.transform.documents import content_of
from functions.transform.expressions import kind_of
from functions.transform.fields import Placed
from functions.transform.step import Example, Step, StepContext
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json


class Count(Placed, Step):
    """The number of what `of` says at `path` (default: all of `data`) takes its place, or goes to `into`.

    of    fields: of an object; all_fields: those of the objects in it too; items: of a list; characters: of a text;
          bytes: of a text in UTF-8, or of bytes
    into  where the number goes; default: the same place
    """

    summary: ClassVar[str] = "Count the fields of an object, the items of a list, or the characters of a text."
    example: ClassVar[Example] = Example(
        settings={"of": "items", "path": "data.commits", "into": "data.commit_count"},
        before={"commits": ["c1", "c2", "c3"]},
        after={"commits": ["c1", "c2", "c3"], "commit_count": 3},
    )

    of: Literal["fields", "all_fields", "items", "characters", "bytes"]

    def apply(self, event: Event, _: StepContext) -> Event:
        return self.changed(event, self._counted)

    def _counted(self, value: Json, place: str) -> Json:
        if self.of == "all_fields" and isinstance(value, dict | list):
            return _all_fields(value)
        if self.of == "bytes" and (content := content_of(value)) is not None:
            return len(content)
        if _has(self.of, value) and isinstance(value, dict | list | str):
            return len(value)
        raise Permanent("count", f"{place} is {kind_of(value)}, which has no {self.of.removeprefix('all_')}")


def _has(what: str, value: Json) -> bool:
    return isinstance(value, {"fields": dict, "items": list, "characters": str}.get(what, ()))


def _all_fields(value: Json) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_all_fields, value.values()))
    return sum(map(_all_fields, value)) if isinstance(value, list) else 0
