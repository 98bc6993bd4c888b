"""The Secrets port: where a secret is looked for, what its text means, and how long it is remembered."""

import asyncio
import errno
import json
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from shared import secrets
from shared.errors import Temporary
from shared.secrets import (
    CACHE_SECONDS,
    STALE_SECONDS,
    Reader,
    SecretDenied,
    SecretMissing,
    SecretStore,
    SecretStoreUnreachable,
    from_environment,
    from_folder,
    split_values,
)
from tests.fakes.clock import FakeClock

STRONG = "a-strong-value-of-24-char"
OLDER = "the-one-before-it-25-char"
JSON_KEY = '{\n  "type": "service_account",\n  "more": {\n    "a": 1\n  }\n}'
PEM = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n"


def store(*readers: Reader, clock: FakeClock | None = None) -> SecretStore:
    return SecretStore(readers, clock or FakeClock())


def written(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


async def test_a_secret_is_a_file_of_its_name_or_in_a_folder_of_its_name_or_a_variable(tmp_path: Path) -> None:
    folder = written(tmp_path, {"mounted/value": STRONG + "\n", "plain": OLDER})
    environ = {"MOUNTED": "another-one-altogether", "SIGNUP_PASSWORD": STRONG}
    found = store(from_folder(folder), from_environment(environ))
    assert await found.values("mounted") == (STRONG,)
    assert await found.values("plain") == (OLDER,)
    assert await found.values("signup-password") == (STRONG,)
    with pytest.raises(SecretMissing, match="set ELSEWHERE"):
        await found.values("elsewhere")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (f"{STRONG}\n{OLDER}\n", (STRONG, OLDER)),
        (f"{STRONG}\r\n\r\n{OLDER}", (STRONG, OLDER)),
        (f"{PEM}{OLDER}", (PEM, OLDER)),
        (f"{STRONG}\n{PEM}{PEM}", (STRONG, PEM, PEM)),
        (f'{JSON_KEY}\n{STRONG}\n{{"one": "line"}}\n', (f"{JSON_KEY}\n", STRONG, '{"one": "line"}')),
    ],
)
def test_a_secret_is_a_value_a_line_newest_first_or_one_pem_or_json_block(text: str, values: tuple[str, ...]) -> None:
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
    assert unreadable.value.detail == "secret 'key' cannot be read: it is not UTF-8"


async def test_a_place_that_fails_is_not_passed_over_for_the_next() -> None:
    def failing(_: str) -> str | None:
        raise PermissionError("no")

    with pytest.raises(Temporary, match="it is forbidden"):
        await store(failing, from_environment({"KEY": STRONG})).values("key")


class Place:
    """A reader whose next answers are set by the test: a text, None, or an error to raise."""

    def __init__(self, answer: str | Exception | None) -> None:
        self.answer = answer
        self.reads = 0

    def __call__(self, _: str) -> str | None:
        self.reads += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


UNREACHABLE = (
    SecretStoreUnreachable("secret_unavailable", "Secret Manager answered 503"),
    TimeoutError(),
    OSError(errno.EIO, "Input/output error"),
)
ANSWERS = (
    None,
    "changeme",
    SecretDenied("secret_unavailable", "denied"),
    Temporary("secret_unavailable", "the version is destroyed"),
    PermissionError(),
)


@pytest.mark.parametrize("fault", UNREACHABLE, ids=repr)
async def test_the_last_value_serves_for_a_day_while_the_store_cannot_be_reached(fault: Exception) -> None:
    place, clock = Place(STRONG), FakeClock()
    found = store(place, clock=clock)
    await found.values("key")
    place.answer = fault
    clock.advance(STALE_SECONDS - 1)
    assert await found.values("key") == (STRONG,)
    clock.advance(1)
    with pytest.raises(Temporary) as unavailable:
        await found.values("key")
    assert unavailable.value.code == "secret_unavailable"
    place.answer = OLDER
    assert await found.values("key") == (OLDER,)


@pytest.mark.parametrize("answer", ANSWERS, ids=repr)
async def test_a_secret_that_is_revoked_stops_at_the_next_refresh_even_if_the_store_goes_down_after(
    answer: str | Exception | None,
) -> None:
    place, clock = Place(STRONG), FakeClock()
    found = store(place, clock=clock)
    await found.values("key")
    place.answer = answer
    clock.advance(CACHE_SECONDS)
    with pytest.raises(Temporary):
        await found.values("key")
    place.answer = TimeoutError()
    with pytest.raises(Temporary):
        await found.values("key")


async def test_an_unreachable_store_is_warned_of_every_five_minutes_and_tried_every_fifteen_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    place, clock = Place(STRONG), FakeClock()
    found = store(place, clock=clock)
    await found.values("key")
    place.answer = TimeoutError()
    clock.advance(CACHE_SECONDS)
    place.reads = 0
    for _ in range(601):
        await found.values("key")
        clock.advance(1)
    assert place.reads == 41
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["severity"], line["secret_name"]) for line in lines] == [("WARNING", "key")] * 3
    assert "its last value is used for at most 23.9 h more" in lines[0]["detail"].lower()


async def test_those_who_ask_during_a_refresh_take_the_last_value_instead_of_waiting() -> None:
    asked, go_on = threading.Event(), threading.Event()
    answers = iter((STRONG, OLDER))

    def slow(_: str) -> str | None:
        value = next(answers)
        if value == OLDER:
            asked.set()
            go_on.wait(10)
        return value

    clock = FakeClock()
    found = store(slow, clock=clock)
    await found.values("key")
    clock.advance(CACHE_SECONDS)
    refresh = asyncio.create_task(found.values("key"))
    await asyncio.to_thread(asked.wait, 10)
    assert await found.values("key") == (STRONG,)
    go_on.set()
    assert await refresh == (OLDER,)


async def test_a_secret_that_is_revoked_does_not_serve_for_an_hour_more_where_the_clock_is_set_back() -> None:
    environ, clock = {"KEY": STRONG}, FakeClock()
    found = store(from_environment(environ), clock=clock)
    await found.values("key")
    environ["KEY"] = OLDER
    clock.advance(-3_600)
    assert await found.values("key") == (OLDER,)
    assert await found.values("key") == (OLDER,)
