"""A map as SVG: names and texts are cut to the room that they have."""

import re
import unicodedata
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Final

from deploy.explain.map.picture import Box, Line, Picture
from deploy.explain.map.routing import LEVELS, Level

STYLE_FILE: Final = Path(__file__).parent / "map.css"
NAME_WIDTH: Final = 7.9
DETAIL_WIDTH: Final = 6.4
"""The average width of a character in pixels. This module cannot measure texts as a browser does."""
PADDING: Final = 10
BADGE: Final = 18
SIGNS: Final[Mapping[Level, str]] = {"warn": "!", "bad": "✕", "off": "–"}
_NOT_IN_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def draw(picture: Picture, *, is_standalone: bool = True) -> str:
    """Return the picture as SVG. One that is not standalone has links, and the page that shows it has the style."""
    width, height = f"{picture.width:.0f}", f"{picture.height:.0f}"
    role = "img" if is_standalone else "group"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="map" role="{role}" aria-label="Map of the configuration"'
        f' width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    ]
    if is_standalone:
        parts.append(f"<style>{STYLE_FILE.read_text(encoding='utf-8')}</style>")
        parts.append('<rect class="paper" width="100%" height="100%"/>')
    parts += [f'<text class="heading" x="{x:.0f}" y="16">{text}</text>' for x, text in picture.headings]
    # Lines in trouble are drawn last, so that no other line covers them.
    parts += [_line(line) for line in sorted(picture.lines, key=lambda line: LEVELS.index(line.level))]
    parts += [_box(box, has_link=not is_standalone) for box in picture.boxes]
    return "\n".join([*parts, "</svg>", ""])


def _line(line: Line) -> str:
    half = (line.bend_x + line.end_x) / 2
    curve = f"C{half:.1f} {line.y:.1f} {half:.1f} {line.end_y:.1f} {line.end_x:.1f} {line.end_y:.1f}"
    path = f'<path d="M{line.x:.1f} {line.y:.1f}H{line.bend_x:.1f}{curve}"/>'
    title = f"<title>{xml_text(line.description)}</title>" if line.description else ""
    room = (line.bend_x - line.x - PADDING) / DETAIL_WIDTH
    text = f'<text x="{line.x + 6:.1f}" y="{line.y - 4:.1f}">{xml_text(fitted(line.text, room))}</text>'
    return f'<g class="line {line.level}">{title}{path}{text if line.text else ""}</g>'


def _box(box: Box, *, has_link: bool) -> str:
    place = box.place
    room = place.width - 2 * PADDING
    name_room = room - BADGE if box.state.level else room
    name = xml_text(fitted(box.name, name_room / NAME_WIDTH))
    detail = xml_text(fitted(box.detail, room / DETAIL_WIDTH))
    description = xml_text(box.description)
    x, y = f"{place.x + PADDING:.1f}", place.middle
    parts = [
        f"<title>{description}</title>",
        f'<rect x="{place.x:.1f}" y="{place.y:.1f}" width="{place.width:.1f}" height="{place.height:.1f}" rx="7"/>',
        f'<text class="name" x="{x}" y="{y - 3 if detail else y + 5:.1f}">{name}</text>',
        f'<text class="detail" x="{x}" y="{y + 13:.1f}">{detail}</text>' if detail else "",
        _badge(box) if box.state.level else "",
    ]
    content = "".join(parts)
    classes = f"box {box.kind} {box.state.level}".strip()
    if has_link and box.link:
        return f'<a class="{classes}" href="{escape(box.link)}" aria-label="{description}">{content}</a>'
    return f'<g class="{classes}">{content}</g>'


def _badge(box: Box) -> str:
    """Return the sign in the corner: a diamond for the level `bad`, a circle for the others."""
    x, y = box.place.end - 10, box.place.y + 10
    shape = f'<circle class="badge" cx="{x:.1f}" cy="{y:.1f}" r="8"/>'
    if box.state.level == "bad":
        shape = f'<path class="badge" d="M{x:.1f} {y - 11:.1f}l11 11l-11 11l-11 -11z"/>'
    return f'{shape}<text class="sign" x="{x:.1f}" y="{y + 4:.1f}">{SIGNS[box.state.level]}</text>'


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


def xml_text(text: str) -> str:
    """Return the text escaped for an element or an attribute of XML, without characters that XML cannot contain."""
    return escape(_NOT_IN_XML.sub("\ufffd", text))
