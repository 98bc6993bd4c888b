"""The health of sources in `hookchain status` and `hookchain doctor`, with stand-ins of the providers."""

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest

from deploy.dev.inspector.sources_api import OutsideFacts, read_local_outside
from deploy.doctor.checks import health_finding
from deploy.history.local_requests import RequestEntry, write_requests
from deploy.history.source_health import Health, Outside
from deploy.terminal.finding import ok, problem, unknown
from shared.cloud.local.database import transaction
from shared.cloud.local.journal import FILE_NAME, open_journal
from shared.jsontext import JsonObject
from tests.fakes.command import Command, as_objects
from tests.fakes.configurations import compile_text
from tests.fakes.kept import write_slices
from tests.unit.cli.test_hooks_command import CONFIG, FOREIGN, URL, World, world

__all__ = ["world"]


def keep_requests(folder: Path, *requests: RequestEntry) -> None:
    journal = open_journal(folder / "state" / FILE_NAME)
    with transaction(journal):
        write_requests(journal, requests)
    journal.close()


def found_by(command: Command) -> dict[str, JsonObject]:
    return {str(each["source"]): each for each in as_objects(command.json("status")["sources"])}


def test_status_and_doctor_show_what_providers_say_and_ask_without_changing(
    world: World, command: Command, tmp_path: Path
) -> None:
    keep_requests(tmp_path)
    for source in ("github", "telegram"):
        world("apply", source, "--yes")
    changes = world.github.changes(), world.telegram.changes()
    found = found_by(command)
    for source in ("github", "telegram"):
        assert (found[source]["health"], found[source]["registered"]) == ("healthy", "yes")
    assert (found["square"]["health"], found["square"]["registered"]) == ("unregistered", "no")
    assert (found["gitlab"]["health"], found["gitlab"]["registered"]) == ("unknown", "unknown")
    assert (found["other"]["health"], found["other"]["registered"]) == ("unknown", None)
    world.telegram.hooks["webhook"]["last_error_message"] = "Wrong response: 502 Bad Gateway"
    world.telegram.hooks["webhook"]["last_error_date"] = 1_772_366_400
    _, hook = world.only_hook(world.github)
    hook["events"] = ["push"]
    found = found_by(command)
    assert (found["github"]["health"], found["github"]["registered"]) == ("failing", "differs")
    assert found["github"]["command"] == f"hookchain hooks apply github --url {URL}"
    assert "event types are missing: issues" in str(found["github"]["reason"])
    assert found["telegram"]["reason"] == "its last delivery failed: Wrong response: 502 Bad Gateway"
    text = command("status")
    assert "failing: github: acme/shop: event types are missing: issues" in text
    checks = {str(each["check"]): each for each in as_objects(command.json("doctor", code=1)["checks"])}
    assert checks["sources"]["todo"] == f"hookchain hooks apply github --url {URL}"
    hook["config"] = {"url": FOREIGN}
    assert found_by(command)["github"]["health"] == "failing"
    assert (world.github.changes(), world.telegram.changes()) == changes


def test_without_a_token_the_views_say_what_they_can(
    world: World, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SQUARE_TOKEN")
    now = time.time()
    accepted = [RequestEntry(now - 60 * each, "POST", 200, "square", event_id=f"e{each}") for each in range(1, 6)]
    mismatch = RequestEntry(now, "POST", 401, "other", "signature_mismatch", detail="it does not match")
    keep_requests(tmp_path, *reversed(accepted), mismatch)
    found = found_by(command)
    square, other = found["square"], found["other"]
    assert (square["health"], square["registered"], square["overdue"]) == ("healthy", "unknown", False)
    assert "the token 'square-token'" in str(square["registration_unknown"])
    assert 55 < float(str(square["usual_seconds"])) < 65
    assert other["health"] == "failing"
    assert str(other["reason"]).endswith("401 signature_mismatch: it does not match")
    assert other["command"] == "hookchain sources other"


def test_the_page_reads_the_same_facts_once_a_minute(world: World, tmp_path: Path) -> None:
    world("apply", "github", "--yes")
    write_slices(tmp_path / "state", compile_text(CONFIG))

    async def read_twice() -> tuple[Outside, Outside, bool]:
        facts = OutsideFacts(partial(read_local_outside, tmp_path / "state"))
        is_reading = True
        while is_reading:
            first, is_reading = await facts.newest()
            await asyncio.sleep(0.01)
        world.github.calls.clear()
        return first, *(await facts.newest())

    first, second, is_reading = asyncio.run(read_twice())
    words = {name: each.word for name, each in first.registrations.items()}
    assert (words["github"], words["square"], words["gitlab"]) == ("yes", "no", "unknown")
    assert (second, is_reading, world.github.calls) == (first, False, [])
    (tmp_path / "hookchain.yaml").write_text("sources: {", encoding="utf-8")
    assert asyncio.run(read_local_outside(tmp_path / "state")) == Outside()


def test_doctor_reports_the_first_source_that_needs_an_operator() -> None:
    healthy, quiet = Health("healthy", "fine"), Health("quiet", "silent", "look")
    failing = Health("failing", "rejected", "mend")
    assert health_finding({}) == ok("the configuration has none")
    assert health_finding({"a": healthy, "b": Health("unknown", "")}) == ok("1 healthy, 1 unknown")
    assert health_finding({"a": healthy, "b": quiet}) == unknown("b is quiet: silent", "look")
    found = health_finding({"a": quiet, "b": failing, "c": Health("unregistered", "gone", "apply")})
    assert found == problem("b is failing: rejected; c is unregistered", "mend")
