"""`hookchain logs`: the file that `hookchain dev` keeps, and Cloud Logging."""

import resource
import stat
import threading
import time
from itertools import islice
from pathlib import Path

import pytest

from deploy.cloud_access.gcp import Gcloud
from deploy.cloud_access.gcp_names import Target
from deploy.history.gcp_logs import GoogleLog
from deploy.history.local_log import FILE_NAME, OLD_NAME, LogFile, local_records, parse_local_line, with_process
from deploy.history.logs import LogQuery, cloud_records
from shared.jsontext import to_json
from shared.times import rfc3339
from tests.fakes.command import Command
from tests.gcloud.stub import StubGcloud

TARGET = Target("acme-hooks")
NOW = 1_772_366_400.0  # 2026-03-01T12:00:00Z


def a_line(message: str, at: float = NOW, severity: str = "INFO", **fields: str) -> str:
    return to_json({"severity": severity, "message": message, "time": rfc3339(at), **fields})


# On disk


def test_every_line_is_kept_with_its_process_whatever_it_is(tmp_path: Path) -> None:
    log = LogFile(tmp_path, pytest.fail)
    log.append("receive", [a_line("accepted", source="shop"), "Traceback (most recent call last):", ""])
    log.append_own("ERROR", "notify ended with exit status 1")
    log.close()
    records = [parse_local_line(line) for line in (tmp_path / FILE_NAME).read_text().splitlines()]
    assert [(each.process, each.document["message"]) for each in records if each] == [
        ("receive", "accepted"),
        ("receive", "Traceback (most recent call last):"),
        ("dev", "notify ended with exit status 1"),
    ]
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_the_file_is_bounded(tmp_path: Path) -> None:
    log = LogFile(tmp_path, pytest.fail, max_bytes=1_000)
    for number in range(100):
        log.append("receive", [a_line(f"number {number}")])
    log.close()
    sizes = [(tmp_path / name).stat().st_size for name in (FILE_NAME, OLD_NAME)]
    assert all(size < 1_300 for size in sizes)
    assert "number 99" in (tmp_path / FILE_NAME).read_text()


def test_a_disk_that_is_full_is_reported_once_and_the_log_goes_on_after_it(tmp_path: Path) -> None:
    text: list[str] = []
    log = LogFile(tmp_path, text.append)
    log.append("receive", ["before"])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / FILE_NAME).stat().st_size + 10, limits[1]))
    try:
        log.append("receive", ["cut", "off"])
        log.append("receive", ["lost"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.append("receive", ["after"])
    log.close()
    assert len(text) == 1
    records = [parse_local_line(line) for line in (tmp_path / FILE_NAME).read_text().splitlines()]
    messages = [each.document["message"] for each in records if each]
    assert (messages[0], messages[-1]) == ("before", "after")
    assert "lost" not in messages


def kept(state: Path, *lines: tuple[str, str]) -> None:
    with (state / FILE_NAME).open("a") as file:
        file.writelines(with_process(name, line, NOW) for name, line in lines)


def test_people_read_one_line_a_record_of_what_they_ask_for(tmp_path: Path, command: Command) -> None:
    kept(
        tmp_path,
        ("receive", a_line("accepted", source="shop", event_id="4f2a9c")),
        ("notify", a_line("given up", severity="ERROR", event_id="4f2a9c", reason="x\x1b[2J")),
        ("notify", a_line("delivered", event_id="777777")),
    )
    logs = command.partial("logs", "--state", str(tmp_path), "--since", "2026-01-01T00:00:00Z")
    lines = logs().splitlines()
    assert lines[0] == "2026-03-01T12:00:00.000Z receive   accepted  source=shop  event_id=4f2a9c"
    assert "error: given up" in lines[1]
    assert "\x1b" not in lines[1]
    assert logs("--function", "notify", "--severity", "warning").count("\n") == 1
    assert logs.json("--event", "4f2a", "--limit", "1")["message"] == "given up"
    logs("--event", "nobody")
    assert "no log record matches" in logs.error


def test_a_follower_sees_what_comes_across_a_change_of_files(tmp_path: Path) -> None:
    kept(tmp_path, ("receive", a_line("first")))
    records = local_records(tmp_path, 0.0, is_followed=True)
    seen: list[str] = []

    def follow() -> None:
        found = (each for each in records if each is not None)
        seen.extend(str(each.document["message"]) for each in islice(found, 3))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    with (tmp_path / FILE_NAME).open("a") as file:
        file.write(with_process("receive", a_line("second"), NOW)[:20])
    time.sleep(0.05)
    with (tmp_path / FILE_NAME).open("a") as file:
        file.write(with_process("receive", a_line("second"), NOW)[20:])
    (tmp_path / FILE_NAME).replace(tmp_path / OLD_NAME)
    kept(tmp_path, ("receive", a_line("third")))
    thread.join(20)
    assert seen == ["first", "second", "third"]


# Cloud Logging


def entry(number: int, at: str = "2026-03-01T12:00:00.5Z", **fields: object) -> dict[str, object]:
    resource = {"type": "cloud_run_revision", "labels": {"service_name": "hookchain-notify"}}
    payload = {"jsonPayload": {"message": f"number {number}", "destination": "crm"}}
    return {"insertId": str(number), "timestamp": at, "severity": "INFO", "resource": resource, **payload, **fields}


def test_the_newest_are_read_by_one_gcloud_and_printed_oldest_first(gcloud: StubGcloud, command: Command) -> None:
    gcloud.answers("logging read", [entry(2, "2026-03-01T12:00:02Z"), entry(1)])
    asked = ("--severity", "info", "--since", "1h", "--function", "notify")
    lines = command("logs", "--platform", "gcp", "--project", "acme-hooks", *asked).splitlines()
    assert lines[0] == "2026-03-01T12:00:00.500Z notify    number 1  destination=crm"
    assert "number 2" in lines[1]
    [call] = gcloud.calls
    query = call.arguments[2]
    assert 'resource.labels.service_name=("hookchain-notify")' in query
    assert " AND severity>=INFO AND timestamp>=" in query
    assert {"--order=desc", "--format=json", "--project=acme-hooks"} < set(call.arguments)


def test_a_follower_sees_each_entry_once_however_late(gcloud: StubGcloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.history.logs.POLL_SECONDS", 0.0)
    gcloud.answers("logging read", [entry(2, "2026-03-01T12:00:40Z")])
    gcloud.answers("logging read", [entry(1, "2026-03-01T12:00:20Z"), entry(2, "2026-03-01T12:00:40Z")])
    gcloud.answers("logging read", code=1, stderr="ERROR: UNAVAILABLE")
    gcloud.answers("logging read", [entry(3, "2026-03-01T12:01:00Z")])
    log = GoogleLog(Gcloud("acme-hooks"), TARGET, LogQuery(("notify",)))
    records = cloud_records(log, NOW, limit=100, is_followed=True)
    found = (each for each in records if each is not None)
    assert [each.id for each in islice(found, 3)] == ["2", "1", "3"]
    assert 'timestamp>="2026-03-01T12:00:10' in gcloud.calls[2].arguments[2]
    assert all("--order=asc" in call.arguments for call in gcloud.calls[1:])


def test_a_reader_who_may_not_is_told_the_command(gcloud: StubGcloud, command: Command) -> None:
    gcloud.answers("logging read", code=1, stderr="ERROR: PERMISSION_DENIED")
    command("logs", "--platform", "gcp", "--project", "acme-hooks", code=1)
    assert "PERMISSION_DENIED" in command.error
    assert "gcloud logging read" in command.error
