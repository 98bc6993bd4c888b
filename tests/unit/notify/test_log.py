"""The kind `log`: one line for each delivery, in which an event cannot pass for Hookchain's own lines."""

import json
from dataclasses import replace

import pytest

from functions.notify.destinations.log import LogDestination, Settings, line_of
from functions.notify.examples import ATTEMPT
from shared.delivery import Delivered, Delivery
from shared.errors import Permanent
from shared.event import to_cloudevent
from shared.jsontext import JsonObject, to_json
from shared.logs import FIELDS
from tests.fakes.blobs import FakeBlobs
from tests.unit.notify.http_kinds import delivery_of

ORDER: JsonObject = {"number": 1042, "total": 99.5, "card": "4242", "lines": [{"sku": "=A1"}]}


async def written(settings: JsonObject, delivery: Delivery, capsys: pytest.CaptureFixture[str]) -> JsonObject:
    destination = LogDestination(Settings.model_validate(settings), FakeBlobs())
    outcome = await destination.attempt(delivery, ATTEMPT)
    text = capsys.readouterr().out
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    assert outcome == Delivered("a line in the log")
    line: JsonObject = json.loads(text)
    return line


async def test_a_line_has_the_severity_message_and_fields_that_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    settings: JsonObject = {
        "message": "order {{ data.number }}",
        "severity": "{{ 'ERROR' if data.total > 50 else 'INFO' }}",
        "fields": {"total": "data.total", "first": "data.lines[0].sku", "lines": "data.lines", "none": "data.none"},
    }
    delivery = delivery_of(ORDER, traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01")
    line = await written(settings, delivery, capsys)
    assert line.pop("time")
    assert line == {
        "severity": "ERROR",
        "message": "order 1042",
        "log": "example",
        "source": "shop",
        "event_id": "e1",
        "delivery_id": delivery.id,
        "fields": {"total": 99.5, "first": "=A1", "lines": [{"sku": "=A1"}], "none": None},
        "trace": "ab" * 16,
    }
    assert "4242" not in to_json(line)


@pytest.mark.parametrize("character", ["\x01", "\x9b", "\u2028", '"', "\n", "👩", "\ud800"])
async def test_the_longest_line_is_one_that_both_clouds_take_whole_and_no_terminal_obeys(
    character: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fields: JsonObject = {f"{'x' * 60}{number}": "data" if number % 2 else "[data]" for number in range(50)}
    settings = Settings.model_validate({"message": "{{ data }}", "fields": fields})
    await LogDestination(settings, FakeBlobs()).attempt(delivery_of(character * 5_000), ATTEMPT)
    text = capsys.readouterr().out
    assert len(text.splitlines()) == 1
    assert len(text.encode("utf-8", "replace")) < 256_000
    assert not {"\x01", "\x9b", "\u2028"} & {*text}


def test_no_field_of_an_event_can_count_in_hookchains_own_metrics() -> None:
    data: JsonObject = {"outcome": "delivered", "destination": "crm", "attempt_ms": 1}
    settings = Settings(fields={name: f"data.{name}" for name in data})
    _, _, members = line_of(delivery_of(data), settings)
    assert not members.keys() & {"outcome", "destination", "attempt_ms", "breaker", "count", "oldest_seconds"}
    assert members.keys() <= FIELDS


async def test_a_large_event_is_read_whole(capsys: pytest.CaptureFixture[str]) -> None:
    delivery = delivery_of({"n": 7})
    blobs = FakeBlobs()
    await blobs.put("large", to_json(to_cloudevent(delivery.event)).encode())
    delivery = replace(delivery, event=replace(delivery.event, data=None, dataref="large"))
    await LogDestination(Settings(fields={"n": "data.n"}), blobs).attempt(delivery, ATTEMPT)
    assert json.loads(capsys.readouterr().out)["fields"] == {"n": 7}


def test_a_severity_that_there_is_not_is_rejected_or_a_dead_letter() -> None:
    with pytest.raises(ValueError, match="must be one of DEBUG, INFO"):
        Settings(severity="loud")
    with pytest.raises(Permanent, match="template_failed"):
        line_of(delivery_of("loud"), Settings(severity="{{ data }}"))
