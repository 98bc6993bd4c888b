"""The configuration's folder, as a configuration text that nobody has verified may read it.

Such a text can name files, for example schemas and templates. It gets files of data only, in this folder only, and none
that looks like secrets, so that whoever wrote the text cannot read them from the messages about its faults.
"""

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path, PosixPath
from typing import IO, ClassVar, Final

from shared.errors import Rejected
from shared.formats.content_encoding import decode_content

ENDINGS: Final = frozenset(
    {
        *(".json", ".yaml", ".yml", ".xml", ".csv", ".tsv", ".form", ".plist", ".eml", ".ics", ".bin"),
        *(".txt", ".md", ".html", ".htm", ".j2", ".jinja", ".tex"),
        *(".svg", ".png", ".jpg", ".jpeg", ".gif", ".pdf"),
    }
)
"""The endings of files that hold data, templates and attachments. Programs, keys and archives have others, or none."""
_TEXT_ENDINGS: Final = frozenset(
    {".csv", ".tsv", ".eml", ".ics", ".md", ".html", ".htm", ".xml", ".svg", ".j2", ".jinja", ".tex"}
)
"""The endings of texts in which one line can look like that of an env file, for example ` CN=Ada` in an invitation, or
`ID="_1"` in XML with a line for each attribute."""
_COMPRESSED: Final = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ\0", b"(\xb5/\xfd", b"7z\xbc\xaf")
"""The first bytes of gzip, ZIP, bzip2, xz, Zstandard and 7-Zip."""
_PRIVATE_KEY: Final = re.compile(
    rb"PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File|AGE-SECRET-KEY-1|client-key-data"
    rb"|\"private_key\"|\"refresh_token\"|GOCSPX-"
    rb"|aws_secret_access_key|SecretAccessKey|,\"?Secret access key|AWSSecretKey",
    re.IGNORECASE,
)
"""Keys in PEM, of PGP, PuTTY, age and Kubernetes, and credentials of Google Cloud and AWS."""
_JWK: Final = re.compile(rb"\bkty\b")
_JWK_SECRET: Final = re.compile(rb"""["'\s{,][dk]["']?[ \t]*:[ \t]*["']?[\w-]{8}""")
"""The private part of a key as JSON or YAML (RFC 7517). A public key has none."""
_ENV_LINE: Final = re.compile(
    rb"""^[ \t]*(?:(?:export|set|declare -x|-)[ \t]+|\$env:)?["']?[A-Z_][A-Z0-9_]+[ \t]*=[ \t]*(?!\{\{)[^\s=]"""
)
"""A line of an env file. `{{` is the value of a template.

A picture or an archive of a megabyte has such bytes by chance, but also a NUL character.
"""
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_READ_BYTES: Final = 4_000_000


class NotAllowed(Exception):
    """The text names a file that it must not name. Nothing of that file was read."""


class FencedFolder(PosixPath):
    """The configuration's folder, and each path that is made from it.

    `folder / name` and `open` raise NotAllowed for a file outside of the fence, also by a link, for a hidden file, for
    one in an excluded folder, for one without one of the ENDINGS, and for one that looks like secrets. Both do, because
    a reader may find a path without `/`, for example by listing a folder.
    """

    # Of the class, because pathlib makes a path from another one without the attributes of the instance (Python 3.11).
    # The process checks one text, so there is one fence.
    fence: ClassVar[Path]
    excluded: ClassVar[tuple[Path, ...]] = ()

    @classmethod
    def around(cls, folder: Path, excluded: Sequence[Path]) -> "FencedFolder":
        """Return the folder, fenced from now on. Files in the `excluded` folders are not allowed either."""
        cls.fence = Path(os.path.realpath(folder))
        cls.excluded = tuple(Path(os.path.realpath(each)) for each in excluded)
        return cls(folder)

    def __truediv__(self, name: "str | os.PathLike[str]") -> "FencedFolder":
        path = super().__truediv__(name)
        if "\0" in str(path):  # there is no file of such a name
            return path
        self._verify(path, str(name))
        path._verify_content(str(name))
        return path

    def open(self, *arguments: object, **options: object) -> IO[bytes]:  # type: ignore[override] # as it is called
        if "\0" not in str(self):
            name = os.path.relpath(self, self.fence)
            self._verify(self, name)
            self._verify_content(name)
        return super().open(*arguments, **options)  # type: ignore[call-overload,no-any-return] # as it was called

    def _verify(self, path: "str | os.PathLike[str]", name: str) -> None:
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self.fence) or Path(name).is_absolute():
            raise NotAllowed(f"{name!r} is not allowed: a text can name files in the configuration's folder only")
        is_hidden = any(part.startswith(".") for part in real.relative_to(self.fence).parts)
        if is_hidden or any(real.is_relative_to(each) for each in self.excluded):
            raise NotAllowed(f"{name!r} is not allowed: it may hold secrets or events")

    def _verify_content(self, name: str) -> None:
        with contextlib.suppress(OSError):  # the name is too long, for example: there is no such file
            if self.exists() and not self.is_dir():
                _verify_content(Path(os.path.realpath(self)), name)


def _verify_content(path: Path, name: str) -> None:
    """Raise NotAllowed for a program, and for what looks like secrets. Raises OSError."""
    if path.suffix.lower() not in ENDINGS:
        raise NotAllowed(
            f"{name!r} is not allowed: a text can name data and templates only ({' '.join(sorted(ENDINGS))})"
        )
    if not path.is_file():
        raise NotAllowed(f"{name!r} is not allowed: it is not a regular file")
    with path.open("rb") as file:
        content = file.read(_READ_BYTES)
    if _is_compressed(content):
        raise NotAllowed(f"{name!r} is not allowed: it is compressed, so it is not searched for secrets")
    if _is_secret(content, path.suffix.lower()):
        raise NotAllowed(f"{name!r} is not allowed: it looks like an env file or a private key")


def _is_compressed(content: bytes) -> bool:
    """Return whether the bytes are those of an archive or of compressed data."""
    if content.startswith(_COMPRESSED):
        return True
    try:
        decode_content(content, "deflate")  # its data begin with any bytes
    except Rejected as error:
        return error.code == "decoded_body_too_large"  # it was decoded up to the limit; else it is no such data
    return True


def _is_secret(content: bytes, ending: str) -> bool:
    if content.startswith(_UTF_16):
        content = content.decode("utf-16", "ignore").encode("utf-8", "ignore")
    text = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n")
    if _PRIVATE_KEY.search(text) or (_JWK.search(text) and _JWK_SECRET.search(text)):
        return True
    if b"\0" in text:
        return False
    lines = [line for line in text.split(b"\n") if line.strip() and not line.lstrip().startswith(b"#")]
    env_line_count = sum(_ENV_LINE.match(line) is not None for line in lines)
    if ending == ".form" and len(lines) == 1:  # `ORDER=1&TOTAL=5` is a form in one line
        return False
    if ending == ".form" or ending in _TEXT_ENDINGS:
        return env_line_count > 0 and env_line_count == len(lines)
    return env_line_count > 0
