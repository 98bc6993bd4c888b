"""The wording of the product: the part of plain technical English that a machine can check."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from tests.running.processes import ROOT

_OPENINGS: Final = re.compile(r"(What|Which|Whether|Where|Whom?|How|Those|That|The one|Of|As)\b")
_UNUSUAL_WORDS: Final = re.compile(
    r"\b(anew|at the door|befall\w*|beforehand|evermore|hence|hitherto|like as|mended?|nought|reckon(ed|s)?|said aloud|"
    r"shaken|thence|thereby|thereof|thereupon|untold|whence|whereby|whereupon|switched off|good until|"
    r"refus(e|es|ed|al|als|ing))\b",
    re.IGNORECASE,
)
_USUAL: Final = re.compile(r"refused the connection|[`\"]refused?[`\"]|refuse \(default\)")
"""A peer refuses a connection, and `refuse` is the value of a setting."""

_BANNED_NAMES: Final = frozenset(
    {"way", "ways", "told", "asked", "shaken", "taken", "refused", "refusal", "words", "came", "owing"}
)
_WORDS_OF_A_TEXT: Final = ("deploy/history/", "shared/expressions.py", "functions/transform/entry.py")
"""Here `words` are the words of a text, not a message."""


def _sources() -> list[Path]:
    return sorted(path for top in ("deploy", "functions", "shared") for path in (ROOT / top).rglob("*.py"))


@cache
def _docstrings_and_names(path: Path) -> tuple[list[tuple[str, str]], list[tuple[int, str]]]:
    """Return the docstrings, and the names that a module gives. Its tree is not kept: each collection of garbage in
    the rest of the run would go through the trees of all modules."""
    docstrings: list[tuple[str, str]] = []
    names: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            owner = "the module" if isinstance(node, ast.Module) else node.name
            if text := ast.get_docstring(node):
                docstrings.append((f"{path.relative_to(ROOT)}: {owner}", text))
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                names.append((node.lineno, name))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.append((node.lineno, name))
            case ast.ExceptHandler(name=str(name)):
                names.append((node.lineno, name))
    return docstrings, names


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that a person reads: of a page all, of Python's the comments and strings."""
    content = path.read_text()
    if path.suffix != ".py":
        yield from enumerate(content.splitlines(), 1)
        return
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type in kinds:
            yield from enumerate(token.string.splitlines(), token.start[0])


def test_a_docstring_begins_with_a_verb_or_a_noun() -> None:
    faults = [
        f"{where}: {text.splitlines()[0]}"
        for path in _sources()
        for where, text in _docstrings_and_names(path)[0]
        if _OPENINGS.match(text)
    ]
    assert not faults, "\n".join(faults)


def test_no_text_uses_a_word_that_technical_english_does_not() -> None:
    pages = [ROOT / "README.md", *(page for top in ("deploy", "functions") for page in (ROOT / top).rglob("*.md"))]
    scripts = [
        path
        for page in ("deploy/dev/inspector/page", "functions/subscribe/page")
        for path in (ROOT / page).glob("*.js")
    ]
    texts = [*_sources(), *pages, *scripts]
    faults = [
        f"{path.relative_to(ROOT)}:{number}: {found.group()!r} in: {line.strip()}"
        for path in texts
        for number, line in _texts(path)
        if (found := _UNUSUAL_WORDS.search(line)) and not _USUAL.search(line)
    ]
    assert not faults, "\n".join(faults)


def test_a_name_is_a_noun_or_a_verb_and_no_participle() -> None:
    faults = [
        f"{where}:{number}: {name}"
        for path in _sources()
        for number, name in _docstrings_and_names(path)[1]
        if (plain := name.strip("_")) in _BANNED_NAMES or plain.startswith("of_")
        if not ((where := str(path.relative_to(ROOT))).startswith(_WORDS_OF_A_TEXT) and plain == "words")
    ]
    assert not faults, "\n".join(faults)


def test_no_address_has_a_name_of_the_code_in_its_host() -> None:
    address = re.compile(r"https?://[\w.-]*_[\w-]*\.[a-z]")
    found = [str(path.relative_to(ROOT)) for path in _sources() if address.search(path.read_text())]
    assert not found, found
