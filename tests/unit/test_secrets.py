"""The Secrets port: where a secret is looked for, what its text means, and how long it is remembered."""

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from shared import secrets
from shared.errors import Temporary
from shared.secret_values import split_values
from shared.secrets import CACHE_SECONDS, Reader, SecretMissing, SecretStore, from_environment, from_folder
from tests.fakes.clock import FakeClock

STRONG = "a-strong-value-of-24-char"
OLDER = "the-one-before-it-25-char"
PEM = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n"


def store(*readers: Reader, clock: FakeClock | None = None) -> SecretStore:
    return SecretStore(readers, clock or FakeClock())


def written(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


async def test_a_secret_is_a_file_of_its_name_or_the_value_in_a_folder_of_its_name(tmp_path: Path) -> None:
    folder = written(tmp_path, {"mounted/value": STRONG + "\n", "plain": OLDER})
    found = store(from_folder(folder), from_environment({"MOUNTED": "another-one-altogether"}))
    assert await found.values("mounted") == (STRONG,)
    assert await found.values("plain") == (OLDER,)


async def test_what_no_file_holds_is_the_variable_of_its_name(tmp_path: Path) -> None:
    found = store(from_folder(tmp_path), from_environment({"SIGNUP_PASSWORD": STRONG}))
    assert await found.values("signup-password") == (STRONG,)


async def test_a_secret_that_is_nowhere_is_temporary_and_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(SecretMissing, match="set SIGNUP_PASSWORD") as missing:
        await store(from_folder(tmp_path), from_environment({})).values("signup-password")
    assert missing.value.code == "secret_unavailable"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("  ", "is empty"),
        ("whsec_", "is empty"),
        (f"{STRONG}\nChangeMe", "place"),
    ],
)
async def test_a_secret_that_protects_nothing_is_temporary_and_never_tried(text: str, words: str) -> None:
    with pytest.raises(Temporary, match=words) as weak:
        await store(from_environment({"KEY": text})).values("key")
    assert weak.value.code == "secret_weak"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (f"{STRONG}\n{OLDER}\n", (STRONG, OLDER)),
        (f"{STRONG}\r\n\r\n{OLDER}", (STRONG, OLDER)),
        (f" {STRONG} ", (f" {STRONG} ",)),
        (f"{PEM}{OLDER}", (PEM, OLDER)),
        (f"{STRONG}\n{PEM}{PEM}", (STRONG, PEM, PEM)),
        (PEM[:40], (PEM[:40],)),
    ],
)
def test_a_secret_is_a_value_a_line_newest_first_and_a_pem_block_is_one(text: str, values: tuple[str, ...]) -> None:
    assert split_values(text) == values


async def test_a_secret_is_remembered_for_five_minutes_and_then_read_again() -> None:
    environ, clock = {"KEY": STRONG}, FakeClock()
    found = store(from_environment(environ), clock=clock)
    await found.values("key")
    environ["KEY"] = f"{OLDER}\n{STRONG}"
    clock.advance(CACHE_SECONDS - 1)
    assert await found.values("key") == (STRONG,)
    clock.advance(1)
    assert await found.values("key") == (OLDER, STRONG)


async def test_that_there_was_none_is_not_remembered() -> None:
    environ: dict[str, str] = {}
    found = store(from_environment(environ))
    with pytest.raises(SecretMissing):
        await found.values("key")
    environ["KEY"] = STRONG
    assert await found.values("key") == (STRONG,)


async def test_a_place_that_does_not_answer_in_time_is_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def hanging(_: str) -> str | None:
        ended.wait(10)
        return STRONG

    monkeypatch.setattr(secrets, "READ_SECONDS", 0.05)
    try:
        with pytest.raises(Temporary, match="cannot be read: TimeoutError"):
            await store(hanging).values("key")
    finally:
        ended.set()


async def test_a_file_that_is_no_text_is_temporary_and_its_content_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(Temporary) as unreadable:
        await store(from_folder(written(tmp_path, {"key": b"\xff\xfesecret"}))).values("key")
    assert unreadable.value.detail == "secret 'key' cannot be read: UnicodeDecodeError"


async def test_a_place_that_fails_is_not_passed_over_for_the_next(tmp_path: Path) -> None:
    def failing(_: str) -> str | None:
        raise PermissionError("no")

    with pytest.raises(Temporary, match="PermissionError"):
        await store(failing, from_environment({"KEY": STRONG})).values("key")
