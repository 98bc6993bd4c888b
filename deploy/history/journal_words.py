"""What a search by text looks for, and in what."""

import re
from typing import Final

_ESCAPES: Final = re.compile(r'\\(?:u[0-9a-f]{4}|[\\"/bfnrt])')
_WORD: Final = re.compile(r'"([^"]*)"|(\S+)')


def readable(document: str) -> str:
    """JSON text without its escapes, which would stick to the words beside them."""
    return _ESCAPES.sub(" ", document)


def words_of(text: str) -> tuple[str, ...]:
    """What was typed, as words; "double quotes" keep several together. What holds no letter or digit is no word."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    found = (match[1] or match[2] or "" for match in _WORD.finditer(printable))
    return tuple(word for word in found if any(character.isalnum() for character in word))


def holds(document: str, words: tuple[str, ...]) -> bool:
    """Every word, as the beginning of one in the document's text, in whichever case."""
    text = readable(document)
    return all(re.search(rf"(?<!\w){re.escape(word)}", text, re.IGNORECASE) for word in words)
