"""Events that are none, and a bus or a journal that fails."""

import asyncio
import json
from dataclasses import replace
from typing import Final

import pytest

from functions.transform.chain import Chain
from functions.transform.routes import Route, Routes
from functions.transform.step import Many, NamedStep, StepResult
from shared.errors import Permanent, Temporary
from shared.event import to_cloudevent
from shared.jsontext import to_json
from shared.push import Push
from tests.fakes.journal import FakeJournal
from tests.unit.transform.chain_steps import Answering
from tests.unit.transform.transform_bench import EVENT, Bench

NOT_JSON_TO_OTHERS: Final = to_json(to_cloudevent(EVENT)).replace('"pro"', "NaN").encode()
IN_UTF_16: Final = to_json(to_cloudevent(EVENT)).encode("utf-16")


@pytest.mark.parametrize(
    "data", [b"", b"not json", b"[]", b'{"id": "e1"}', b"[" * 100_000, NOT_JSON_TO_OTHERS, IN_UTF_16]
)
async def test_what_is_no_event_is_a_dead_letter_under_its_messages_id(bench: Bench, data: bytes) -> None:
    with pytest.raises(Permanent):
        await bench.transformer.take(Push(data, {}, "m1"))

    [letter] = bench.letters
    assert (letter.attributes["id"], letter.attributes["code"]) == ("m1", "malformed_event")


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (EVENT.with_data({b"bytes": 1}), "TypeError at output.py"),  # type: ignore[dict-item]
        (EVENT.with_data({(): 1}), "TypeError at output.py"),  # type: ignore[dict-item]
        (EVENT.with_data({"a": [{"b": "half a pair \ud800"}]}), "half a surrogate pair"),
        (replace(EVENT, subject=object()), "an attribute that JSON cannot hold"),  # type: ignore[arg-type]
        (replace(EVENT, type="\ud800"), "an attribute that JSON cannot hold"),
        (replace(EVENT, subject=5), "the CloudEvent's 'subject' is text; found a number"),  # type: ignore[arg-type]
        (replace(EVENT, payloadhash=""), "the CloudEvent has no 'payloadhash'"),
        (Many((replace(EVENT, hops=float("nan")),)), "the CloudEvent's 'hops' is an integer"),  # type: ignore[arg-type]
    ],
)
async def test_what_an_operators_own_step_returns_costs_its_route_and_no_other(
    bench: Bench, returned: StepResult, reason: str
) -> None:
    """None of it could be written or read, and the whole event came again and again. Such a step returns anything."""
    own = NamedStep(1, "own", Answering(returned), is_own=True)
    routes = Routes([Route("own", Chain("own", (own,)), ("crm",)), Route("other", Chain("other"), ("crm",))])

    await replace(bench.transformer, routes=routes).take(Push(to_json(to_cloudevent(EVENT)).encode(), {}, "m1"))

    assert [(each.route, each.event) for each in bench.deliveries] == [("other", EVENT)]
    [letter] = bench.letters
    assert reason in letter.attributes["reason"]


async def test_without_the_bus_nothing_is_journaled_and_the_event_comes_again(bench: Bench) -> None:
    bench.bus.fault = "down"

    with pytest.raises(Temporary):
        await bench.take()

    assert bench.journal.entries == []


async def test_a_journal_that_hangs_is_given_up_after_a_second(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.transform.transform.JOURNAL_SECONDS", 0.01)
    monkeypatch.setattr(FakeJournal, "record", lambda *_: asyncio.Event().wait())

    await bench.take()

    assert len(bench.deliveries) == 3
    assert json.loads(capsys.readouterr().out)["detail"] == "not written within 0.01 s"


async def test_a_journal_that_fails_is_logged_and_blocks_nothing(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.journal.fault = "disk full"

    await bench.take()

    assert len(bench.deliveries) == 3
    line = json.loads(capsys.readouterr().out)
    assert (line["message"], line["detail"]) == ("not journaled", "disk full")
