"""A map as SVG: names and texts are cut to the room that they have."""

import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.explain.map.picture import Picture

if TYPE_CHECKING:
    from jinja2 import Template

FOLDER: Final = Path(__file__).parent
STYLE_FILE: Final = FOLDER / "map.css"
END_CHARACTERS: Final = 3
"""The end of a name that is kept if it has a number and the name is cut."""
_NOT_IN_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@cache
def _template() -> "Template":
    # Imported here, because it is slow to import and seldom needed.
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_valid_in_xml,
    )
    environment.filters |= {"fitted": fitted, "fitted_name": fitted_name, "px": "{:.1f}".format}
    return environment.get_template("map.svg.j2")


def draw(picture: Picture, *, is_standalone: bool = True) -> str:
    """Return the picture as SVG. One that is not standalone has links, and the page that shows it has the style."""
    style = STYLE_FILE.read_text(encoding="utf-8")
    return _template().render(picture=picture, style=style, is_standalone=is_standalone)


def fitted_name(name: str, room: float) -> str:
    """Return the name, cut before the number at its end if it has one: `system-1` and `system-2` differ only there."""
    end = name[-END_CHARACTERS:]
    other_room = room - sum(map(_average_widths, end))
    has_number = end[-1:].isdigit()
    if fitted(name, room) == name or not has_number or other_room < room / 2:
        return fitted(name, room)
    return fitted(name.removesuffix(end), other_room) + end


def fitted(text: str, room: float) -> str:
    """Return the text, cut so that it takes at most `room` average characters."""
    used = 0.0
    for position, character in enumerate(text):
        used += _average_widths(character)
        if used > room:
            return f"{text[: max(position - 1, 1)]}…"
    return text


def _average_widths(character: str) -> float:
    """Return the width of the character as a multiple of that of an average one."""
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    if character in "MWmw@%":
        return 1.8
    return 1.2 if character.isupper() else 1


def _valid_in_xml(value: object) -> object:
    """Return the value without characters that XML cannot contain."""
    return _NOT_IN_XML.sub("\ufffd", value) if type(value) is str else value
