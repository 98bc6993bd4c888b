"""The destinations in the slice of notify: those of one kind, and those that `hookchain dev` catches."""

from collections.abc import Iterator

from shared.jsontext import Json, JsonObject, mapping_at, mappings_at, value_at


def destinations_of_kind(notify: JsonObject, kind: str) -> dict[str, JsonObject]:
    """Return the settings of the destinations of one kind in notify's slice, by name."""
    destinations = mappings_at(notify, "destinations").items()
    return {name: mapping_at(each, "settings") for name, each in destinations if each.get("kind") == kind}


def is_caught(destination: Json) -> bool:
    """Return whether the destination, as notify's slice has it, is caught: mails, and rows of sheets without a key."""
    kind = value_at(destination, "kind")
    return kind == "email" or (kind == "sheet" and value_at(destination, "settings", "secret") is None)


def caught_sheets(notify: JsonObject | None) -> Iterator[tuple[str, str]]:
    """Yield the spreadsheet's id and the title of each caught sheet. `notify` is its slice."""
    for each in mappings_at(notify or {}, "destinations").values():
        settings = mapping_at(each, "settings")
        if each.get("kind") == "sheet" and is_caught(each):
            yield str(settings["spreadsheet"]), str(settings["sheet"])
