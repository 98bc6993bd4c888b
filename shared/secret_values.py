"""The values in a secret's text, and the check that they are not too weak to protect anything."""

from typing import Final

MIN_STRONG_CHARACTERS: Final = 16
_PLACEHOLDERS: Final = frozenset(
    {"changeme", "change-me", "change_me", "secret", "password", "passwd", "test", "example", "todo", "xxx", "none"}
)
_PREFIXES: Final = ("whsec_", "whpk_", "whsk_")


def split_values(text: str) -> tuple[str, ...]:
    """Return the values, newest first: one a line; a PEM block is one, and an object of JSON over several lines.

    One trailing newline is dropped, and a byte order mark that an editor wrote at the beginning.
    """
    values: list[str] = []
    block: list[str] = []
    for line in text.removeprefix("\ufeff").replace("\r\n", "\n").removesuffix("\n").split("\n"):
        if block or line == "{" or line.startswith("-----BEGIN "):
            block.append(line)
            if line == "}" if block[0] == "{" else line.startswith("-----END "):
                values.append("\n".join(block) + "\n")
                block = []
        elif line:
            values.append(line)
    if block:
        values.append("\n".join(block))
    return tuple(values)


def weakness(value: str) -> str | None:
    """Return why the value protects nothing, in words; None if it may be used."""
    bare = value.strip()
    for prefix in _PREFIXES:
        bare = bare.removeprefix(prefix)
    if not bare:
        return "is empty"
    if bare.lower() in _PLACEHOLDERS:
        return "is a placeholder"
    return None


def is_short(value: str) -> bool:
    """Return True under 16 characters, which is worth a warning."""
    return len(value) < MIN_STRONG_CHARACTERS
