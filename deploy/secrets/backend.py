"""The port to a store of secrets (`.env`, Secret Manager or Secrets Manager), and `.env` as such a store."""

import datetime
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from deploy.config.dotenv import DotenvFault, Entry, dotenv_entries, locked_dotenv, quoted
from deploy.terminal.command_line import CommandError
from shared.secrets import from_environment, from_folder, split_values, variable_name
from shared.settings import read_settings


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A secret as it is stored.

    text     its values, one a line; None if it cannot be read
    where    the place where it was found, for people
    set_at   the time at which it was stored, in Unix seconds; None if that is not known
    trouble  the reason why it cannot be read; empty if it can
    is_in_dotenv_too  .env has the secret too, and this place overrides it
    overridden  the values of .env that this place overrides; None if it is .env or a cloud
    written_at  the time at which the file of a mounted secret was written, in Unix seconds; None for all others
    """

    text: str | None
    where: str
    set_at: float | None = None
    trouble: str = ""
    is_in_dotenv_too: bool = False
    overridden: tuple[str, ...] | None = None
    written_at: float | None = None

    @property
    def values(self) -> tuple[str, ...]:
        return split_values(self.text or "")


class BackendError(CommandError):
    """The secrets cannot be read or written. The text says why and what to do, and contains no value."""


class SecretBackend(Protocol):
    """A store of secrets. Each method raises BackendError."""

    def find(self, names: Sequence[str]) -> Mapping[str, StoredSecret]:
        """Return the secrets that exist, by name."""
        ...

    def write(self, name: str, text: str, forget: bool) -> list[str]:
        """Replace the value, and return lines for a person. With `forget`, the old value cannot be read any more."""
        ...

    def how_to_read(self, name: str) -> str:
        """Return how a person can read the value."""
        ...


_SET_ON: Final = re.compile(r"#\s*set (\d{4}-\d{2}-\d{2})\s*$")
"""The comment that `write` adds behind a value, with the date."""


class DotenvBackend:
    """The secrets in .env. A change of a secret does not change the rest of the file.

    A variable of `shell`, the environment without .env, or a file in `folder` overrides it.
    """

    def __init__(self, path: Path, shell: Mapping[str, str], folder: Path, today: datetime.date) -> None:
        self._path = path
        self._shell = shell
        self._folder = folder
        self._today = today

    def find(self, names: Sequence[str]) -> Mapping[str, StoredSecret]:
        text = self._text()
        entries = {entry.name: entry for entry in _entries(text, self._path)}
        secret_by_name: dict[str, StoredSecret] = {}
        for name in names:
            entry = entries.get(variable_name(name))
            if nearer := self._nearer(name):
                overridden = split_values(entry.value) if entry else ()
                secret_by_name[name] = replace(nearer, is_in_dotenv_too=entry is not None, overridden=overridden)
            elif entry:
                last_line = text.split("\n")[entry.lines.stop - 1]
                secret_by_name[name] = StoredSecret(entry.value, str(self._path), _set_at(last_line))
        return secret_by_name

    def write(self, name: str, text: str, forget: bool) -> list[str]:  # noqa: ARG002 nothing old stays in the file
        with locked_dotenv(self._path):
            return self._write(name, text)

    def _write(self, name: str, text: str) -> list[str]:
        variable = variable_name(name)
        nearer = self._nearer(name)
        entries = {entry.name: entry.value for entry in _entries(self._text(), self._path)}
        in_file = split_values(entries.get(variable, ""))
        if nearer and {*in_file} - {*nearer.values, *split_values(text)}:
            # Whoever wrote the text has read only the nearer values, and could not decide whether these may go.
            rule = f"{variable} in {self._path} has other values, and {nearer.where} overrides them"
            raise BackendError(f"{rule}; nothing was written. Remove one of the two")
        line = f"{variable}={quoted(text)} # set {self._today.isoformat()}"
        _write_atomically(self._path, with_definition(self._text(), variable, line, str(self._path)))
        reader = "a running `hookchain dev` reads it within a few seconds, and `hookchain serve` at SIGHUP"
        lines = [f"written to {self._path} as {variable}; {reader}"]
        if nearer:
            lines.append(f"warning: {nearer.where} overrides it")
        return lines

    def how_to_read(self, name: str) -> str:
        return f"{variable_name(name)} in {self._path}"

    def _nearer(self, name: str) -> StoredSecret | None:
        """Return the secret as a mounted file or the shell has it, which overrides .env; None if neither has it."""
        try:
            in_folder = from_folder(self._folder)(name)
        except (OSError, UnicodeDecodeError) as error:
            return StoredSecret(None, f"{self._folder / name}", trouble=f"cannot be read: {_reason(error)}")
        if in_folder is not None:
            return StoredSecret(in_folder, f"{self._folder / name}", written_at=_written_at(self._folder / name))
        in_shell = from_environment(self._shell)(name)
        return None if in_shell is None else StoredSecret(in_shell, f"the shell's {variable_name(name)}")

    def _text(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise BackendError(f"{self._path} cannot be read: {_reason(error)}") from error


def local_secrets(env_file: Path, environ: Mapping[str, str]) -> DotenvBackend:
    """Return the secrets of this machine. `environ` has the variables of .env too, which the shell's override."""
    mounted = read_settings(environ).secrets_folder
    return DotenvBackend(env_file, os.environ, mounted, datetime.datetime.now(datetime.UTC).date())


def with_definition(text: str, variable: str, line: str, file: str) -> str:
    """Return the file with `line` in place of the variable's last definition, else at its end, and without the others.

    Raises BackendError.
    """
    spans = [entry.lines for entry in _entries(text, Path(file)) if entry.name == variable]
    if not spans:
        return text + ("" if not text or text.endswith("\n") else "\n") + line + "\n"
    removed = {number for span in spans for number in span}
    remaining = {number: each for number, each in enumerate(text.split("\n")) if number not in removed}
    return "\n".join(each for _, each in sorted({**remaining, spans[-1].start: line}.items()))


def _written_at(mounted: Path) -> float | None:
    """Return when the file of a mounted secret was written or put there, in Unix seconds.

    The file is `mounted` itself, or `value` in it if it is a folder.
    """
    for path in (mounted / "value", mounted):
        with suppress(OSError):
            return path.stat().st_ctime  # the time of the last change that a copy or `mv` cannot set
    return None


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "it is not UTF-8"


def _entries(text: str, path: Path) -> list[Entry]:
    try:
        return list(dotenv_entries(text, str(path)))
    except DotenvFault as fault:
        raise BackendError(str(fault)) from fault


def _set_at(line: str) -> float | None:
    found = _SET_ON.search(line)
    if found is None:
        return None
    try:
        return datetime.datetime.fromisoformat(found[1]).replace(tzinfo=datetime.UTC).timestamp()
    except ValueError:
        return None


def _write_atomically(path: Path, text: str) -> None:
    """Replace the file atomically, never readable by others. A symbolic link stays a link."""
    real = path.resolve()
    try:
        descriptor, name = tempfile.mkstemp(prefix=".env-", dir=real.parent)  # of mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(real)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise BackendError(f"{path} cannot be written: {error.strerror}") from error
