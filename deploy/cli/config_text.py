"""Lint or test a configuration text that nobody has verified, because an assistant may have written it.

It is checked in a process of its own, which has no secrets, can write no file, and ends after MAX_SECONDS. Of what it
prints, at most MAX_OUTPUT_BYTES are read.
"""

import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PosixPath
from typing import IO, ClassVar, Final

from deploy.cli import lint, test
from deploy.config import checkout, compiler, config_file, warnings
from deploy.config.sections.own_files import KINDS_SECTION, STEPS_SECTION
from deploy.explain.config_tests import run_config_tests
from deploy.explain.event_types import event_type_findings
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import print_json
from shared.errors import Rejected
from shared.formats.content_encoding import decode_content
from shared.jsontext import JsonObject, mapping_at

MAX_SECONDS: Final = 60
MAX_MEMORY_BYTES: Final = 2 * 1024**3
LIMITS: Final = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CPU: MAX_SECONDS, resource.RLIMIT_AS: MAX_MEMORY_BYTES}
"""The limits of the process: bytes of a file that it writes, seconds of computing, and bytes of memory."""
MAX_OUTPUT_BYTES: Final = 1_000_000
"""The size of a file that the process may write: larger than any result, whose limit is in shared/mcp.py."""
MAX_ENTRIES: Final = 200
"""The faults, warnings or tests that are returned."""
NAME: Final = "the text"
"""The name of the configuration in messages."""
NOTHING: Final = Path(os.devnull)
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

    `folder / name` raises NotAllowed for a file outside of `fence`, also by a link, for a hidden file, and for one in
    `excluded`. Opening a path raises it for these too, for one without one of the ENDINGS, and for one that looks like
    secrets. So it does not matter how a reader finds a path, for example in a folder.
    """

    fence: ClassVar[Path]
    excluded: ClassVar[tuple[Path, ...]] = ()

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
    if content.startswith(_COMPRESSED):
        return True
    try:
        decode_content(content, "deflate")
    except Rejected as error:
        return error.code == "decoded_body_too_large"
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


def check_text(
    action: str, text: str, folder: Path, excluded: Sequence[Path], environ: Mapping[str, str]
) -> JsonObject:
    """Return what `hookchain lint --json` or `test --json` prints of the text, without its own Python files.

    Names of files in it are relative to `folder`. Raises CommandError.
    """
    line = [sys.executable, "-m", __spec__.name, action, *(str(each.absolute()) for each in (folder, *excluded))]
    kept = {name: environ[name] for name in ("EMAIL_FROM", "PATH") if name in environ}
    alone = {**kept, "SECRETS_DIR": os.devnull, "HOOKCHAIN_ENV_FILE": os.devnull, "PYTHONPATH": str(checkout.ROOT)}
    document = mapping_at(json.loads(_output(line, text, alone)))
    if isinstance(rule := document.get("not_allowed"), str):
        raise CommandError(f"{rule}. Nothing was checked.")
    return document


def _output(line: Sequence[str], text: str, environ: Mapping[str, str]) -> bytes:
    """Run the process with the text as its input, and return what it prints. Raises CommandError."""
    began_at = time.monotonic()
    with tempfile.TemporaryFile() as source:
        source.write(text.encode("utf-8", "replace"))
        source.seek(0)
        process = subprocess.Popen(
            line, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ, cwd=checkout.ROOT
        )
    assert process.stdout is not None
    stop = threading.Timer(MAX_SECONDS, process.kill)
    stop.start()
    with process:
        try:
            output = process.stdout.read(MAX_OUTPUT_BYTES + 1)
            if len(output) > MAX_OUTPUT_BYTES:
                process.kill()
            process.wait()
        finally:
            stop.cancel()
    if len(output) > MAX_OUTPUT_BYTES:
        raise CommandError(f"the result has more than {MAX_OUTPUT_BYTES:,} bytes. Use a smaller text")
    if process.returncode and time.monotonic() - began_at >= MAX_SECONDS:
        raise CommandError(f"the check took longer than {MAX_SECONDS} seconds")
    if process.returncode:
        raise CommandError("the text cannot be checked: it takes too much memory, or uncovers a fault of Hookchain")
    return output


def _lint(file: config_file.ConfigFile) -> JsonObject:
    try:
        types = event_type_findings(file, compiler.compile_config(file))
    except config_file.ConfigFaults as error:
        return lint.lint_document(error.file, error.faults)
    if types.faults:
        return lint.lint_document(file.file, types.faults)
    return lint.lint_document(
        file.file, (), lint.all_warnings(file, os.environ, NOTHING), warnings.configuration_notes(file)
    )


def _test(file: config_file.ConfigFile) -> JsonObject:
    try:
        slices = compiler.compile_config(file)
    except config_file.ConfigFaults as error:
        return test.faults_document(error)
    return test.results_document(run_config_tests(file.document, slices, file.folder))


ACTIONS: Final[Mapping[str, Callable[[config_file.ConfigFile], JsonObject]]] = {"lint": _lint, "test": _test}


def checked(action: str, text: str, folder: Path, excluded: Sequence[Path] = ()) -> JsonObject:
    """Return the document of the action for the text. Raises NotAllowed for a file that may not be read."""
    FencedFolder.fence = Path(os.path.realpath(folder))
    FencedFolder.excluded = tuple(Path(os.path.realpath(each)) for each in excluded)
    try:
        file = config_file.parse_config(text, NAME, FencedFolder(folder))
    except config_file.ConfigFaults as error:
        return test.faults_document(error) if action == "test" else lint.lint_document(error.file, error.faults)
    for section in (STEPS_SECTION, KINDS_SECTION):
        if file.value(section) is not None:
            raise NotAllowed(f"`{section}` is not allowed: a text can name no Python files")
    return ACTIONS[action](file)


def main(action: str, folder: str, *excluded: str) -> None:
    for limit, most in LIMITS.items():
        with contextlib.suppress(ValueError, OSError):  # macOS does not have each limit
            resource.setrlimit(limit, (most, most))
    try:
        document = checked(action, sys.stdin.read(), Path(folder), [Path(each) for each in excluded])
    except NotAllowed as rule:
        document = {"not_allowed": str(rule)}
    print_json(_shortened(document))


def _shortened(document: JsonObject) -> JsonObject:
    """Return the document with at most MAX_ENTRIES in each list, and with how many are left out."""
    short: JsonObject = {
        name: value[:MAX_ENTRIES] if isinstance(value, list) else value for name, value in document.items()
    }
    left_out = sum(
        len(value) - MAX_ENTRIES for value in document.values() if isinstance(value, list) and len(value) > MAX_ENTRIES
    )
    return {**short, "left_out": left_out} if left_out else short


if __name__ == "__main__":
    main(*sys.argv[1:])
