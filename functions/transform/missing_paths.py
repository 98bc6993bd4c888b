"""The notes about paths that an event lacks: `'data.user' is not in this event; did you mean 'data.usr'?`."""

from collections.abc import Iterable
from typing import Final

from functions.transform.paths import MaybeChange, Part, Path, find_value, is_there, update
from functions.transform.step import Noted
from shared import did_you_mean
from shared.event import Event
from shared.jsontext import Json
from shared.writers.writing import is_field_name

MAX_SHAPES: Final = 64
"""The most notes about missing paths that a step remembers."""


class MissingPaths:
    """The notes of one step about paths that an event lacks: `'data.user' is not in this event; did you mean …?`.

    To find the most similar path takes 2 ms, and for an event with 2,000 long names 100 ms. So a note is made once for
    all events with the same top-level fields, and at most `max_shapes` notes are remembered. Instead of the fields,
    their hash is remembered, because an event can have very many.
    """

    def __init__(self, max_shapes: int = MAX_SHAPES) -> None:
        self._notes: dict[tuple[tuple[Part, ...], int], str] = {}
        self._max_shapes = max_shapes

    def updated(self, event: Event, changes: Iterable[tuple[Path, Path, MaybeChange]], act: str) -> Event | Noted:
        """Return the event with each change, and with a note about the paths that lead to nothing.

        A change is the path that the settings name, for the note, the path that is written, and the function that makes
        the new value. `act` says what the step does about a missing path, such as `nothing is rewritten there`.
        """
        before = event
        untouched: list[Path] = []
        for path, place, change in changes:
            changed = update(event, place, change)
            if changed is event:
                untouched.append(path)
            event = changed
        return self.noted(event, before, untouched, act) if untouched else event

    def noted(self, event: Event, before: Event, untouched: Iterable[Path], act: str) -> Event | Noted:
        """Return the event, with a note about those of the `untouched` paths that were missing before the step.

        `act` says what the step does about a missing path.
        """
        note = self.note(before.data, untouched, act)
        return Noted(event, note) if note else event

    def note(self, data: Json, paths: Iterable[Path], act: str = "") -> str:
        """Return the note about those of the paths that are missing in the data; empty if none is missing."""
        missing = [path for path in paths if not is_there(data, path.parts)]
        if not missing:
            return ""
        shape = hash(frozenset(data)) if isinstance(data, dict) else 0
        return "; ".join([self._note(path, data, shape, act) for path in missing])

    def _note(self, path: Path, data: Json, shape: int, act: str) -> str:
        note = self._notes.get((path.parts, shape))
        if note is None and len(self._notes) < self._max_shapes:
            note = _missing_note(path, data, act)
            self._notes[path.parts, shape] = note
        return note or f"{path.text!r}{did_you_mean.IS_MISSING}; {act}".removesuffix("; ")


def _missing_note(path: Path, data: Json, act: str) -> str:
    """Return the note about one missing path, with the path that is probably meant."""
    names = [part for part in path.parts if isinstance(part, str) and is_field_name(part)]
    if len(names) < len(path.parts):  # an item of a list is missing, or a field in it, or a name has a full stop
        return f"{path.text!r}{did_you_mean.IS_MISSING}; {act}".removesuffix("; ")
    for position in range(1, len(names)):
        if isinstance(find_value(data, path.parts[:position]), list):
            list_text = ".".join(["data", *names[:position]])
            item_path = f"{list_text}[*].{'.'.join(names[position:])}"
            advice = f"{list_text!r} is a list; write {item_path!r} for each item"
            return f"{path.text!r}{did_you_mean.IS_MISSING}: {advice}"
    return did_you_mean.missing_path(".".join(["data", *names]), {"data": data}, act)
