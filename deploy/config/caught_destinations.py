"""The destinations that `hookchain dev` catches: nothing leaves this machine."""

from collections.abc import Iterator

from shared.jsontext import Json, JsonObject


def is_caught(destination: Json) -> bool:
    """Return whether the destination, as notify's slice has it, is caught: mails, and rows of sheets without a key."""
    if not isinstance(destination, dict):
        return False
    settings = destination.get("settings")
    kind = destination.get("kind")
    return kind == "email" or (kind == "sheet" and isinstance(settings, dict) and settings.get("secret") is None)


def caught_sheets(notify: JsonObject | None) -> Iterator[tuple[str, str]]:
    """Yield the spreadsheet's id and the title of each caught sheet. `notify` is its slice."""
    destinations = (notify or {}).get("destinations")
    for each in destinations.values() if isinstance(destinations, dict) else ():
        settings = each.get("settings") if isinstance(each, dict) else None
        if isinstance(each, dict) and isinstance(settings, dict) and each.get("kind") == "sheet" and is_caught(each):
            yield str(settings["spreadsheet"]), str(settings["sheet"])
