import json
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from functions.notify.digests.settings import Digest, GatherSettings
from functions.notify.registry import Configured, Destinations, read_destinations
from shared.errors import Temporary
from shared.jsontext import Json, JsonObject
from shared.settings import SliceFault
from tests.fakes.destinations import a_context
from tests.fakes.mail_settings import mail_settings

SETTINGS = cast("JsonObject", mail_settings(to="list@example.com"))
WRITTEN: dict[str, Json] = {
    "kind": "email",
    "settings": SETTINGS,
    "retry_seconds": [5, 300],
    "timeout_seconds": 15,
    "on_unknown": "resend",
}


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "pigeon"},
        {"kind": "../email"},
        {"kind": None},
        {"retry_seconds": None},
        {"no_such_setting": 1},
    ],
)
def test_a_destination_that_does_not_read_is_a_fault_that_names_it(change: dict[str, Json]) -> None:
    with pytest.raises(SliceFault, match="'list'"):
        read_destinations({"destinations": {"list": {**WRITTEN, **change}}})


def test_settings_that_its_kind_does_not_take_wait_for_a_bundle_that_is_whole() -> None:
    written: Json = {**WRITTEN, "settings": {"no such setting": "hunter2-hunter2"}}
    destinations = Destinations(read_destinations({"destinations": {"list": written}}), a_context())
    configured = destinations.configured["list"]
    with pytest.raises(Temporary, match="'list' of kind 'email' cannot start") as raised:
        destinations.connected(configured)
    assert "hunter2" not in str(raised.value)


CONNECT = """\
import json, sys
from functions.notify import entry, wiring
from functions.notify.destination import Context
from functions.notify.registry import read_destinations
from functions.notify.registry import Destinations
from shared.settings import read_settings
context = Context(None, read_settings({}), None, wiring.platform.SystemClock(), fetch=lambda: None)
destinations = Destinations(read_destinations(json.loads(sys.argv[1])), context)
destinations.connected(destinations.configured["list"])
print(*sorted(sys.modules))
"""


def test_a_mail_destination_imports_only_what_its_settings_use(root: Path) -> None:
    slice_ = json.dumps({"function": "notify", "destinations": {"list": WRITTEN}})
    done = subprocess.run([sys.executable, "-c", CONNECT, slice_], cwd=root, capture_output=True, text=True, check=True)
    imported = done.stdout.split()
    assert "functions.notify.destinations.email.transports" in imported
    unused = {
        "functions.notify.recipients.people",
        "functions.notify.recipients.recipient",
        "pydantic",
        "aiosmtplib",
        "functions.notify.destinations.email.smtp",
        "functions.notify.destinations.email.smtp_server",
        "cryptography",
        "sendgrid",
    }
    assert unused & {*imported} == set()


TO_ACTOR = """\
import asyncio, json, sys
from functions.notify import main, wiring
from shared.delivery import Delivery
from shared.event import Event
print(*sorted(sys.modules))
event = Event("e", "/sources/web", "signup", "2026-09-21T14:13:20.000Z", "0" * 64, actor="anna-gh")
recipients, configured = wiring.service().notifier.recipients, wiring.destinations_or_exit()["list"]
print(asyncio.run(recipients.recipient_of(configured, Delivery(event, "r", "list"))).email)
"""


def test_notify_imports_the_list_of_people_only_for_a_destination_that_uses_it(root: Path, tmp_path: Path) -> None:
    rows: Json = [{"name": "anna", "email": "anna@example.com", "github": "anna-gh"}]
    slice_ = {
        "function": "notify",
        "destinations": {"list": {**WRITTEN, "recipient": {"path": "actor", "address": "email"}}},
        "people": {"rows": rows, "providers": {"web": "github"}},
    }
    (tmp_path / "slice.json").write_text(json.dumps(slice_))
    environ = {
        "HOOKCHAIN_SLICE": str(tmp_path / "slice.json"),
        "HOOKCHAIN_STATE": str(tmp_path),
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
    }
    command = [sys.executable, "-c", TO_ACTOR]
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=True)
    imported, email = done.stdout.splitlines()

    assert {"functions.notify.recipients.people", "functions.notify.recipients.recipient", "jmespath"} & {
        *imported.split()
    } == set()
    assert email == "anna@example.com"


def test_the_options_of_every_destination_are_read_and_a_slice_without_them_still_loads() -> None:
    options: dict[str, Json] = {"expires_after_seconds": 600, "otherwise": "pager", "success_when": "body.ok"}
    read = read_destinations({"destinations": {"new": {**WRITTEN, **options}, "old": WRITTEN}})
    new, old = read["new"], read["old"]
    assert old == Configured("old", "email", SETTINGS, (5.0, 300.0), 15.0, "resend")
    assert (new.expires_after_seconds, new.otherwise, new.success_when) == (600.0, "pager", "body.ok")


def test_alerts_are_delivered_together_and_by_a_schedule_of_their_own() -> None:
    alerts: Json = {"gather": {"digest": {"every_seconds": 900, "by": None}, "is_alerts": True}, "retry_seconds": [60]}
    read = read_destinations({"destinations": {"list": {**WRITTEN, "alerts": alerts}}})["list"]
    assert (read.gather, read.retry_seconds) == (None, (5, 300))
    assert read.alerts is not None
    assert read.alerts.retry_seconds == (60,)
    assert read.alerts.gather == GatherSettings(digest=Digest(900, None), is_alerts=True)
