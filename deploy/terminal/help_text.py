"""The layout of help: prose is as wide as the terminal, and indented lines stay as they are written."""

import argparse
import shutil
import textwrap
from itertools import groupby


class HelpText(argparse.RawDescriptionHelpFormatter):
    """Lines that are indented stay as they are; the lines between them are paragraphs."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        groups = groupby(text.splitlines(), key=_is_preformatted)
        return "\n".join("\n".join(lines) if stay else filled(" ".join(lines), width, indent) for stay, lines in groups)


def filled(text: str, width: int, indent: str = "") -> str:
    """Wrap the text. Names with a dash in them (`deploy-gcp`, `--all`) stay whole."""
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def listed(entries: dict[str, str], longest: int = 0) -> list[str]:
    """Return each name with its summary beside it, wrapped to the terminal. `longest` aligns several lists."""
    column = max(longest, *map(len, entries)) + 4
    width = max(shutil.get_terminal_size().columns - 2 - column, 40)
    beside = {name: textwrap.wrap(summary, width, break_on_hyphens=False) for name, summary in entries.items()}
    return [
        f"{f'  {name}' if first else '':{column}}{line}"
        for name, lines in beside.items()
        for first, line in zip([True, *[False] * len(lines)], lines, strict=False)
    ]


def _is_preformatted(line: str) -> bool:
    return not line or line.startswith(" ")
