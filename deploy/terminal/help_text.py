"""How help is printed: prose as wide as the terminal, and what is to be copied or compared as it is written."""

import argparse
import shutil
import textwrap
from itertools import groupby


class HelpText(argparse.RawDescriptionHelpFormatter):
    """Lines that are indented stay as they are; those between are paragraphs."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        groups = groupby(text.splitlines(), key=_stays)
        return "\n".join("\n".join(lines) if stay else filled(" ".join(lines), width, indent) for stay, lines in groups)


def filled(text: str, width: int, indent: str = "") -> str:
    """Names with a dash in them (`deploy-gcp`, `--all`) are not parted."""
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def listed(entries: dict[str, str]) -> list[str]:
    """Each name and, beside it, what it is for, in as many lines as that takes."""
    column = max(map(len, entries)) + 4
    width = max(shutil.get_terminal_size().columns - 2 - column, 40)
    beside = {name: textwrap.wrap(summary, width, break_on_hyphens=False) for name, summary in entries.items()}
    return [
        f"{f'  {name}' if first else '':{column}}{line}"
        for name, lines in beside.items()
        for first, line in zip([True, *[False] * len(lines)], lines, strict=False)
    ]


def _stays(line: str) -> bool:
    return not line or line.startswith(" ")
