"""The links of the pages lead somewhere, and the commands of Hookchain that they name exist."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from deploy.cli.main import COMMANDS

ROOT: Final = Path(__file__).parents[2]
_FENCED: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_COMMAND: Final = re.compile(r"(?:^|`|\.venv/bin/)hookchain ([a-z][a-z-]+)", re.MULTILINE)
_WITHOUT_CHOICE: Final = re.compile(
    r"`hookchain\s+(dead-letters\s+(?:replay|drop)|api-keys\s+create|forget\s+--tenant)`(?!, `)"
)
"""A command that is a usage error as it is printed. Where a list of commands follows, it is only named."""
_LINK: Final = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")


def pages() -> Iterator[Path]:
    yield ROOT / "README.md"
    for folder in ("deploy", "functions"):
        yield from (page for page in (ROOT / folder).rglob("*.md") if "node_modules" not in page.parts)


@cache
def text_of(page: Path) -> str:
    """Return the page without its blocks."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors_of(page: Path) -> list[str]:
    """Return the anchors of the page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or target.suffix != ".md" or anchor in anchors_of(target))


def test_every_link_leads_to_a_file_and_to_a_heading_in_it() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages()
        for link in _LINK.findall(text_of(page))
        if not leads_somewhere(page, link)
    ]
    assert not broken


def test_no_page_prints_a_command_without_the_records_or_the_scope_that_it_needs() -> None:
    current = [page for page in pages() if page.name != "CHANGELOG.md"]  # which names commands only
    faults = [f"{page}: {found}" for page in current for found in _WITHOUT_CHOICE.findall(text_of(page))]
    assert not faults


def test_every_command_that_a_page_names_exists() -> None:
    named = {name for page in pages() for name in _COMMAND.findall(page.read_text(encoding="utf-8"))}
    assert {"backup", "restore", "serve"} <= named <= {*COMMANDS}
