"""The checks of `hookchain doctor` that every platform has; and how checks run side by side within a time limit."""

import argparse
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from deploy.cloud_access.aws import NoCredentials
from deploy.cloud_access.gcp import ApiError, GcloudFault, GcloudMissing, NotSignedIn
from deploy.config.config_file import ConfigFaults
from deploy.config.configured import Configured
from deploy.config.mail_settings import mail_settings_fault
from deploy.config.slices import sql_destinations
from deploy.doctor import configuration, held, sender, sharing
from deploy.doctor.places import has_places
from deploy.history.state import configured_destinations
from deploy.secrets.backend import BackendError, SecretBackend
from deploy.secrets.needs import needs
from deploy.terminal.command_line import CommandError
from deploy.terminal.finding import Check, Finding, ok, problem, unknown
from functions.notify.destinations.email.email import API_KEY
from shared.errors import place_of
from shared.jsontext import JsonObject
from shared.settings import read_settings

LONGEST_SECONDS: Final = 45.0
"""gcloud may take 30 s for a token on a small machine; the requests that use it come after that."""
PROGRESS_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of the checks.

    compiled   the configuration, or its faults
    where      the options that make a suggested command act on the same deployment, with a space before them
    """

    options: argparse.Namespace
    environ: Mapping[str, str]
    compiled: Configured | ConfigFaults
    where: str


def configuration_finding(subject: Subject) -> Finding:
    compiled = subject.compiled
    if isinstance(compiled, ConfigFaults):
        return configuration.configuration(None, compiled)
    return configuration.configuration(compiled.path, compiled.slices)


def secrets_finding(subject: Subject, place: SecretBackend, *, has_ses: bool = False) -> Finding:
    if isinstance(subject.compiled, ConfigFaults):
        return unknown("the configuration has faults")
    slices = subject.compiled.slices
    needed = needs(slices, subject.environ, has_ses=has_ses)
    return configuration.secrets(needed, place, slices["receive"], subject.where)


def deliveries_finding(subject: Subject) -> Finding:
    if isinstance(subject.compiled, ConfigFaults):
        return unknown("the configuration has faults")
    return held.deliveries(subject.options.state, configured_destinations(subject.compiled.slices["notify"]))


def sharing_checks(
    subject: Subject, place: SecretBackend, own_account: str | None = None, *, catches: bool = False
) -> list[Check]:
    """Return the check of files of Google's that must be shared; none if no destination writes to one.

    `catches`: rows of sheets without a key are caught here.
    """
    if isinstance(subject.compiled, ConfigFaults):
        return []
    notify = subject.compiled.slices["notify"]
    notify = sharing.without_caught(notify) if catches else notify
    if not sharing.has_shared_files(notify):
        return []
    return [Check("shared files", lambda: sharing.sharing(notify, own_account, place))]


def sender_finding(subject: Subject, key: Callable[[], str | None], is_local: bool) -> Finding:
    if isinstance(subject.compiled, ConfigFaults):
        return unknown("the configuration has faults")
    if fault := mail_settings_fault(subject.environ):
        return problem(fault, "correct it in your shell or in .env")
    settings = read_settings(subject.environ)
    found = key()
    if is_local and not found:
        return ok("mail is caught here, not sent")
    return sender.sender(subject.compiled.slices["notify"], settings.email_from, settings.sendgrid_url, found)


def place_checks(subject: Subject, check: Callable[[JsonObject], Finding]) -> list[Check]:
    """Return the check of the tables and buckets that destinations write to; none if no destination does."""
    if isinstance(subject.compiled, ConfigFaults) or not has_places(subject.compiled.slices["notify"]):
        return []
    return [Check("tables and buckets", partial(check, subject.compiled.slices["notify"]))]


def bus_checks(subject: Subject, check: Callable[[Mapping[str, JsonObject]], Finding | None]) -> list[Check]:
    """Return the check of buses; none where the configuration has no bus."""
    found = None if isinstance(subject.compiled, ConfigFaults) else check(subject.compiled.slices)
    return [Check("buses", lambda: found)] if found else []


def database_checks(subject: Subject, place: SecretBackend, *, is_local: bool = False) -> list[Check]:
    """Return the check of the tables that destinations write to; none if no destination does.

    `is_local`: notify runs on this machine too, so it reaches what this machine does.
    """
    if isinstance(subject.compiled, ConfigFaults) or not sql_destinations(subject.compiled.slices["notify"]):
        return []
    notify = subject.compiled.slices["notify"]

    def run() -> Finding:
        from deploy.doctor.databases import databases  # slow to import, and seldom needed

        return databases(notify, place, is_local=is_local)

    return [Check("databases", run)]


def stored_key(place: SecretBackend) -> str | None:
    stored = place.find([API_KEY]).get(API_KEY)
    return stored.values[0] if stored and stored.values else None


# Running them


def checkup(
    checks: Sequence[Check], progress: Callable[[int], None], longest_seconds: float = LONGEST_SECONDS
) -> list[tuple[str, Finding]]:
    """Return the findings in the order of `checks`. `progress` gets the number that are done, twice a second."""
    done: queue.SimpleQueue[tuple[str, Finding]] = queue.SimpleQueue()
    for check in checks:
        # A daemon: what hangs in a system call must not keep the command from ending.
        threading.Thread(target=_run, args=(check, done), daemon=True).start()
    deadline = time.monotonic() + longest_seconds
    found: dict[str, Finding] = {}
    while len(found) < len(checks) and (left := deadline - time.monotonic()) > 0:
        try:
            name, finding = done.get(timeout=min(PROGRESS_SECONDS, left))
            found[name] = finding
        except queue.Empty:
            progress(len(found))
    late = unknown(f"no answer within {longest_seconds:.0f} s", "try again; or look at your connection")
    return [(check.name, found.get(check.name, late)) for check in checks]


def _run(check: Check, done: "queue.SimpleQueue[tuple[str, Finding]]") -> None:
    done.put((check.name, _finding(check)))


def _finding(check: Check) -> Finding:
    try:
        return check.run()
    except (NotSignedIn, GcloudMissing):
        return unknown("needs gcloud, signed in")
    except NoCredentials:
        return unknown("needs AWS credentials")
    except (ApiError, GcloudFault, BackendError, CommandError) as fault:
        return unknown(str(fault).split("\n")[0])
    except Exception as error:  # one check's own fault must not hide what the others found
        return unknown(f"the check itself failed: {place_of(error)}", "please report it")
