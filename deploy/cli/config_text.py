"""Lint or test a configuration text that nobody has read: an assistant wrote it, or somebody who talked to one.

It is checked in a process of its own, which has no secrets, can write no file, and ends after MAX_SECONDS.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PosixPath
from typing import ClassVar, Final

from deploy.cli import lint, test
from deploy.config import compiler, config_file, warnings
from deploy.config.checkout import ROOT
from deploy.config.sections.own_files import KINDS_SECTION, STEPS_SECTION
from deploy.explain.config_tests import event_type_findings, run_config_tests
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import print_json
from shared.jsontext import JsonObject, mapping_at

MAX_SECONDS: Final = 60
MAX_MEMORY_BYTES: Final = 2 * 1024**3
LIMITS: Final = {
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_CPU: MAX_SECONDS,
    resource.RLIMIT_AS: MAX_MEMORY_BYTES,
}
"""The limits of the process: bytes of a file that it writes, seconds of computing, and bytes of memory."""
NAME: Final = "the text"
"""The name of the configuration in messages."""
NOTHING: Final = Path(os.devnull)


class NotAllowed(Exception):
    """The text names a file that it must not name. Nothing of that file was read."""


class FencedFolder(PosixPath):
    """The configuration's folder. A file that the configuration names is always opened as `folder / name`, which raises
    NotAllowed for a file outside of `fence`, also by a link, for a hidden file, and for one in `excluded`."""

    fence: ClassVar[Path]
    excluded: ClassVar[tuple[Path, ...]] = ()

    def __truediv__(self, name: "str | os.PathLike[str]") -> "FencedFolder":
        path = super().__truediv__(name)
        if "\0" in str(path):  # there is no file of such a name
            return path
        self._verify(path, str(name))
        if path.is_dir():
            for entry in path.iterdir():
                if entry.suffix:  # only such files are read of a folder
                    self._verify(entry, str(name))
        return path

    def _verify(self, path: "str | os.PathLike[str]", name: str) -> None:
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self.fence) or Path(name).is_absolute():
            raise NotAllowed(f"{name!r} is not allowed: a text can name files in the configuration's folder only")
        is_hidden = any(part.startswith(".") for part in real.relative_to(self.fence).parts)
        if is_hidden or any(real.is_relative_to(each) for each in self.excluded):
            raise NotAllowed(f"{name!r} is not allowed: it may hold secrets or events")


def check_text(
    action: str, text: str, folder: Path, excluded: Sequence[Path], environ: Mapping[str, str]
) -> JsonObject:
    """Return what `hookchain lint --json` or `test --json` prints of the text, without its own Python files.

    Names of files in it are relative to `folder`. Raises CommandError.
    """
    line = [sys.executable, "-m", __spec__.name, action, *(str(each.absolute()) for each in (folder, *excluded))]
    kept = {name: environ[name] for name in ("EMAIL_FROM", "PATH") if name in environ}
    alone = {**kept, "SECRETS_DIR": os.devnull, "HOOKCHAIN_ENV_FILE": os.devnull, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            line, input=text.encode("utf-8", "replace"), capture_output=True, env=alone, cwd=ROOT, timeout=MAX_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"the check took longer than {MAX_SECONDS} seconds") from error
    if done.returncode:
        raise CommandError("the text cannot be checked: it takes too much memory, or uncovers a fault of Hookchain")
    document = mapping_at(json.loads(done.stdout))
    if isinstance(rule := document.get("not_allowed"), str):
        raise CommandError(f"{rule}. Nothing was checked.")
    return document


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
    """Raises NotAllowed."""
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
    print_json(document)


if __name__ == "__main__":
    main(*sys.argv[1:])
