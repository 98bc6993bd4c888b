"""Secrets by name: where their text is read, how long their values are used, and which values a text has.

A text comes from a mounted file, the environment or the platform's secret manager. It has one value in each line, the
newest first. A value that is empty or a placeholder is never used.
"""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from shared import jsontext, logs, ports
from shared.errors import Temporary

SECRET_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
"""A secret's name, such as `github-secret`."""
_SECRET_KEY: Final = re.compile(r"([a-z0-9_]+_)?secret")
# fmt: off
_SETTINGS_WITH_USERS_KEYS: Final = frozenset({
    "columns", "event_types", "fields", "headers", "inputs", "metadata", "parameters", "payload", "respond", "schema",
    "substitutions", "values", "variables",
})
# fmt: on
"""Settings whose keys the user chooses. A key `secret` in them does not name a secret."""
CACHE_SECONDS: Final = 300.0
"""The time for which values are used before they are read again."""
READ_SECONDS: Final = 2.0
"""The time within which all places together must give the text of a secret."""
STALE_SECONDS: Final = 86_400.0
"""The time for which the values that were read last are used while the store cannot be reached."""
RETRY_SECONDS: Final = 15.0
"""The time between two attempts to reach the store. Each time, one request waits up to READ_SECONDS for it."""
WARN_SECONDS: Final = 300.0
"""The time between two warnings that the store cannot be reached."""
MIN_STRONG_CHARACTERS: Final = 16
"""A shorter value is used, with a warning."""
_PLACEHOLDERS: Final = frozenset(
    {"changeme", "change-me", "change_me", "secret", "password", "passwd", "test", "example", "todo", "xxx", "none"}
)
_PREFIXES: Final = ("whsec_", "whpk_", "whsk_")
"""Prefixes of Standard Webhooks. The value itself follows them."""

Reader = Callable[[str], str | None]
"""Returns the secret's text; None if this place does not have it. May block. May raise OSError and Temporary."""
AsyncReader = Callable[[str], Awaitable[str | None]]
"""Does the same on the event loop, for a secret manager that answers over the network."""


def from_folder(folder: Path) -> Reader:
    """Return a reader of `<folder>/<name>/value`, or else of `<folder>/<name>`.

    The reader raises Temporary for a folder without `value`. It does not return None, because another place could then
    be asked, which may have an older value.
    """

    def read(name: str) -> str | None:
        for path in (folder / name / "value", folder / name):
            # Not `is_file`, which also returns False if the disk or the mount fails.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                try:
                    return path.read_text(encoding="utf-8")
                except IsADirectoryError:
                    rule = "must be a file, or a folder with the file `value`; it is a folder without one"
                    raise Temporary("secret_unavailable", f"secret {name!r} {rule}") from None
        return None

    return read


def variable_name(name: str) -> str:
    return name.upper().replace("-", "_")


def from_environment(environ: Mapping[str, str]) -> Reader:
    return lambda name: environ.get(variable_name(name))


def secret_names(settings: jsontext.Json) -> Iterator[str]:
    """Yield the names of secrets in settings: the texts under a key `secret`, or one that ends in `_secret`."""
    if isinstance(settings, list):
        for item in settings:
            yield from secret_names(item)
    if isinstance(settings, dict):
        for key, value in settings.items():
            if _SECRET_KEY.fullmatch(key) and isinstance(value, str) and SECRET_NAME.fullmatch(value):
                yield value
            elif key not in _SETTINGS_WITH_USERS_KEYS:
                yield from secret_names(value)


class SecretMissing(Temporary):
    """A secret that no store has. An operator may still create it."""


class SecretDenied(Temporary):
    """A secret that the platform does not let us read. It does not say whether the secret exists."""


class InvalidSecret(Temporary):
    """A secret whose value was read, but does not have the form that its user needs. An operator may correct it.

    `reason` names the secret and says why. The detail adds the command that sets it.
    """

    def __init__(self, name: str, fault: str) -> None:
        """Make the fault. `fault` continues a sentence that begins with the secret's name: "has no `private_key`"."""
        self.name = name
        self.reason = f"secret {name!r} {fault}"
        super().__init__("secret_unusable", f"{self.reason}: set it with `hookchain secrets set {name}`")


class SecretStoreUnreachable(Temporary):
    """The store gave no answer about the secret: a timeout, a connection fault, a 429 or a 5xx."""


class _Cached(NamedTuple):
    """Values as the store last answered them. Times are Unix seconds."""

    values: tuple[str, ...]
    read_at: float
    refresh_at: float
    warn_at: float = 0.0

    @property
    def stale_until(self) -> float:
        return self.read_at + STALE_SECONDS

    def is_fresh(self, now: float) -> bool:
        """Return whether the values are used without asking the store. Not if they were read later than now: somebody
        has set the clock back."""
        return self.read_at <= now < self.refresh_at

    def is_usable(self, now: float) -> bool:
        """Return whether the values are used if the store cannot be reached."""
        return self.read_at <= now < self.stale_until

    def during_refresh(self, now: float) -> "_Cached":
        """Return what other calls use while one call reads the values again. They do not wait for it: for them the
        values are fresh, also if the clock was set back."""
        refresh_at = min(now + RETRY_SECONDS, self.stale_until)
        return self._replace(read_at=min(self.read_at, now), refresh_at=refresh_at)


class SecretStore:
    """The Secrets port over readers that are tried in order, each in a thread, and `manager` last.

    Values are cached for CACHE_SECONDS. While the store cannot be reached, the last values are used for STALE_SECONDS.
    Any response of the store (missing, denied, disabled, empty) takes effect at once and replaces the cached values.
    This is how a secret is revoked.
    """

    def __init__(self, readers: tuple[Reader, ...], clock: ports.Clock, manager: AsyncReader | None = None) -> None:
        self._readers = readers
        self._manager = manager
        self._clock = clock
        self._cache: dict[str, _Cached] = {}

    async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
        """Return the values, the newest first, and at least one. With `fresh`, they are read now. Raises Temporary."""
        now = self._clock.now()
        cached = self._cache.get(name)
        if cached and cached.is_fresh(now) and not fresh:
            return cached.values
        if cached and now < cached.stale_until:
            self._cache[name] = cached.during_refresh(now)
        try:
            values = usable_values(name, await self._text(name))
        except SecretStoreUnreachable as error:
            return self._last_values(name, error)
        except Temporary:  # the store answered: a secret that it denies, or a weak value, takes effect at once
            self._cache.pop(name, None)
            raise
        read_at = self._clock.now()
        self._cache[name] = _Cached(values, read_at, read_at + CACHE_SECONDS)
        return values

    async def _text(self, name: str) -> str | None:
        """Return the secret's text; None if no place has it. Raises Temporary, and SecretStoreUnreachable if no answer
        comes within READ_SECONDS."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                text = await asyncio.to_thread(self._read, name)
                return await self._manager(name) if text is None and self._manager else text
        except PermissionError as error:
            reason = error.strerror or "it is forbidden"
            raise Temporary("secret_unavailable", f"secret {name!r} cannot be read: {reason}") from error
        except UnicodeDecodeError as error:
            raise Temporary("secret_unavailable", f"secret {name!r} cannot be read: it is not UTF-8") from error
        except OSError as error:  # a timeout is one, and so are the errors of HTTP clients
            detail = f"secret {name!r} cannot be read: {type(error).__name__}"
            raise SecretStoreUnreachable("secret_unavailable", detail) from error

    def _last_values(self, name: str, error: SecretStoreUnreachable) -> tuple[str, ...]:
        """Return the cached values, and log a warning at times. Raises the error if they are missing or too old."""
        now = self._clock.now()
        cached = self._cache.get(name)
        if cached is None or not cached.is_usable(now):
            raise error
        if now >= cached.warn_at:
            hours = (cached.stale_until - now) / 3_600
            detail = f"{error.detail}. Its last value is used for at most {hours:.1f} h more."
            logs.log("WARNING", "secret store unreachable", secret_name=name, code=error.code, detail=detail)
            self._cache[name] = cached._replace(warn_at=now + WARN_SECONDS)
        return cached.values

    def _read(self, name: str) -> str | None:
        for reader in self._readers:
            text = reader(name)
            if text is not None:
                return text
        return None


def usable_values(name: str, text: str | None) -> tuple[str, ...]:
    """Return the values in the secret's text, at least one.

    Raises Temporary, because an operator can correct it: SecretMissing if there is no text, and `secret_weak` if it has
    no value or one that must not be used.
    """
    if text is None:
        where = f"set {variable_name(name)}, or create it in this platform's secret store"
        raise SecretMissing("secret_unavailable", f"secret {name!r} does not exist: {where}")
    values = split_values(text)
    if not values:
        raise Temporary("secret_weak", f"secret {name!r} is empty")
    for value in values:
        if fault := weakness(value):
            raise Temporary("secret_weak", f"secret {name!r} {fault}")
    return values


def split_values(text: str) -> tuple[str, ...]:
    """Return the values, the newest first. Each line is a value, and so are a PEM block and a JSON object of several
    lines.

    One line break at the end is dropped, and a byte order mark that an editor wrote at the beginning.
    """
    values: list[str] = []
    block: list[str] = []
    for line in text.removeprefix("\ufeff").replace("\r\n", "\n").removesuffix("\n").split("\n"):
        if block or line == "{" or line.startswith("-----BEGIN "):
            block.append(line)
            is_json = block[0] == "{"
            ends_here = line == "}" if is_json else line.startswith("-----END ")
            if ends_here:
                values.append("\n".join(block) + "\n")
                block = []
        elif line:
            values.append(line)
    if block:
        values.append("\n".join(block))
    return tuple(values)


def weakness(value: str) -> str | None:
    """Return why the value must not be used, for a message; None if it may be used."""
    bare = value.strip()
    for prefix in _PREFIXES:
        bare = bare.removeprefix(prefix)
    if not bare:
        return "is empty"
    if bare.lower() in _PLACEHOLDERS:
        return "is a placeholder"
    return None


def is_short(value: str) -> bool:
    """Return True if the value has fewer than MIN_STRONG_CHARACTERS, which is worth a warning."""
    return len(value) < MIN_STRONG_CHARACTERS
