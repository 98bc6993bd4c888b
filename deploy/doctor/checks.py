"""The checks of `hookchain doctor` that every platform has; and how checks run side by side within a time limit.

The modules of deploy/platforms list their checks.
"""

import argparse
import asyncio
import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from deploy.cloud_access import aws, gcp
from deploy.config import config_file, configured, mail_settings
from deploy.config.config_file import NAME as NO_FILE
from deploy.config.slices import blobs_seconds, sql_destinations
from deploy.doctor import places, senders
from deploy.history import source_access, source_health, status
from deploy.history.local import open_local_state
from deploy.history.state import State, StateFault, configured_destinations
from deploy.secrets import forms
from deploy.secrets.backend import SecretBackend, StoredSecret
from deploy.secrets.needs import Need, missing_effect, needs
from deploy.secrets.values import InvalidValue, count_short, is_generated, validated_values
from deploy.terminal import command_line, output
from deploy.terminal.finding import Check, Finding, ok, problem, unknown
from functions.notify.destinations.email.transports import API_KEY
from shared import errors, jsontext, retention
from shared.cloud import platform as cloud_platform
from shared.ledger import PAUSED_BY_OPERATOR
from shared.settings import read_settings

LONGEST_SECONDS: Final = 45.0
"""gcloud may take 30 s for a token on a small machine; the requests that use it come after that."""
PROGRESS_SECONDS: Final = 0.5
PRESENT: Final = "present"
SHORT: Final = "short"
WEAK: Final = "weak"
MISSING: Final = "missing"
UNREADABLE: Final = "unreadable"
NOT_COMPILED: Final = unknown("the configuration has faults")


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of the checks.

    compiled   the configuration, or its faults
    where      the options that make a suggested command act on the same deployment, with a space before them; empty for
               this machine
    """

    options: argparse.Namespace
    environ: Mapping[str, str]
    compiled: configured.Configured | config_file.ConfigFaults
    where: str

    @property
    def slices(self) -> Mapping[str, jsontext.JsonObject]:
        """The compiled configuration by function; empty if it has faults."""
        return {} if isinstance(self.compiled, config_file.ConfigFaults) else self.compiled.slices

    @property
    def notify(self) -> jsontext.JsonObject:
        """The slice of notify; empty if the configuration has faults."""
        return self.slices.get("notify", {})


# The configuration and its secrets


def configuration_finding(subject: Subject) -> Finding:
    if isinstance(subject.compiled, config_file.ConfigFaults):
        return _faults_finding(subject.compiled)
    slices = subject.compiled.slices
    counts = [(slices["receive"]["sources"], "source"), (slices["notify"]["destinations"], "destination")]
    message = ", ".join(output.count_of(len(entries), word) for entries, word in counts if isinstance(entries, dict))
    seconds = blobs_seconds(retention.retention_of(subject.notify), subject.notify)
    days = math.ceil(seconds / retention.DAY_SECONDS)
    return ok(f"{subject.compiled.path or 'no file'}: {message}; a body over 200 KiB is deleted after {days} days")


def _faults_finding(faults: config_file.ConfigFaults) -> Finding:
    first = faults.faults[0].text(faults.file)
    if faults.file == NO_FILE:
        return problem(first, "set EMAIL_ADDRESS, or run `hookchain init`")
    more = f", and {len(faults.faults) - 1} more" if len(faults.faults) > 1 else ""
    return problem(f"{first}{more}", "hookchain lint lists every fault")


def secrets_finding(
    subject: Subject, place: SecretBackend, *, has_ses: bool = False, is_server: bool = False
) -> Finding:
    """Check the secrets. `is_server`: this machine runs `hookchain serve`, which generates none."""
    if not subject.slices:
        return NOT_COMPILED
    needed = needs(subject.slices, subject.environ, has_ses=has_ses)
    if not needed:
        return ok("the configuration needs none")
    found = place.find([need.name for need in needed])
    states = {need.name: state_of(need, found.get(need.name)) for need in needed}
    is_dev = not subject.where and not is_server
    is_unneeded = {need.name: need.is_optional or (is_dev and need.origin == "mail service") for need in needed}
    missing = [need for need in needed if states[need.name] == MISSING and not is_unneeded[need.name]]
    weak = [need for need in needed if states[need.name] == WEAK]
    if weak:
        more = f" ({len(weak) - 1} more are {WEAK})" if len(weak) > 1 else ""
        message = f"{weak[0].name}: {why_weak(weak[0], found[weak[0].name])}{more}"
        return problem(message, f"hookchain secrets set {weak[0].name}{subject.where}")
    if unusable := list(forms.unusable_secrets(subject.slices, lambda name: _values_of(found.get(name)))):
        name, text = unusable[0]
        others = ", ".join(dict.fromkeys(other for other, _ in unusable if other != name))
        more = f" (of a wrong form too: {others})" if others else ""
        message = text.partition(": set it with ")[0] + more
        return problem(message, f"hookchain secrets set {name}{subject.where}")
    if subject.where and (finding := _lacking_in_cloud(subject, missing)):
        return finding
    if is_server and missing:
        names = ", ".join(need.name for need in missing)
        rule = f"missing: {names}; `hookchain serve` does not start without them"
        return problem(rule, f"hookchain secrets set {missing[0].name}")
    unreadable = [name for name, state in states.items() if state == UNREADABLE]
    if unreadable:
        return unknown(f"{unreadable[0]} {found[unreadable[0]].trouble}")
    if missing:
        return _missing_finding(subject, missing)
    short = ", some under 16 characters" if SHORT in states.values() else ""
    optional = [name for name, state in states.items() if state == MISSING]
    others = f"; not set, and not needed: {', '.join(optional)}" if optional else ""
    return ok(f"{len(needed) - len(optional)} found{short}{others}")


def _values_of(stored: StoredSecret | None) -> Sequence[str]:
    return stored.values if stored else ()


def _lacking_in_cloud(subject: Subject, missing: Sequence[Need]) -> Finding | None:
    """Return the problem of the secrets that a deployment cannot generate; None if there are none."""
    lacking = [need.name for need in missing if not is_generated(need, subject.slices["receive"])]
    if not lacking:
        return None
    return problem(f"missing: {', '.join(lacking)}", f"hookchain secrets set {lacking[0]}{subject.where}")


def _missing_finding(subject: Subject, missing: Sequence[Need]) -> Finding:
    names = ", ".join(need.name for need in missing)
    if subject.where:
        return ok(f"the deployment generates: {names}")
    credentials = [need for need in missing if need.origin == "issued"]
    if not credentials:
        return ok(f"not set: {names}; `make dev` generates them")
    credential_names = ", ".join(need.name for need in credentials)
    rule = f"missing: {credential_names}; {missing_effect(credentials)}"
    return problem(rule, f"hookchain secrets set {credentials[0].name}")


def state_of(need: Need, stored: StoredSecret | None) -> str:
    if stored is None:
        return MISSING
    if stored.text is None:
        return UNREADABLE
    try:
        values = validated_values(stored.text, need.schemes, need.least_characters)
    except InvalidValue:
        return WEAK
    return SHORT if count_short(values) else PRESENT


def why_weak(need: Need, stored: StoredSecret) -> str:
    try:
        validated_values(stored.text or "", need.schemes, need.least_characters)
    except InvalidValue as fault:
        return str(fault)
    return ""


# Deliveries and senders


def deliveries_finding(subject: Subject) -> Finding:
    if not subject.slices:
        return NOT_COMPILED
    return held_finding(subject.options.state, configured_destinations(subject.notify))


def held_finding(state: Path, names: Iterable[str]) -> Finding:
    """Check these destinations, and the destinations of the newest held deliveries. Raises HookchainError."""
    try:
        with open_local_state(state) as local:
            held = asyncio.run(_held(local, names))
    except StateFault:
        return ok("none yet")
    if not held:
        return ok("no destination is held; `hookchain status` also lists paused destinations")
    texts = [
        f"{each['destination']}, {output.count_of(int(str(each['count'])), 'delivery', 'deliveries')}: {each['reason']}"
        for each in held
    ]
    commands = [f"hookchain {each['act']} {each['destination']}" for each in held]
    return problem(f"held: {'; '.join(texts)}", f"correct it, then run: {'; '.join(commands)}")


async def _held(state: State, names: Iterable[str]) -> list[jsontext.JsonObject]:
    """Return the destinations whose deliveries are held, except those that the operator paused."""
    async with state.ledger() as ledger:
        found = await status.held_destinations(ledger, names, time.time())
    return [each for each in found if each["reason"] and PAUSED_BY_OPERATOR not in str(each["reason"])]


def sources_finding(
    subject: Subject, open_state: Callable[[], AbstractContextManager[State]], access: source_access.SourceAccess
) -> Finding:
    """Check the health of each source, and ask the providers where there is a token."""
    if isinstance(subject.compiled, config_file.ConfigFaults):
        return NOT_COMPILED
    now, silences = time.time(), status.silences_of(subject.notify)
    outside = asyncio.run(source_access.read_outside(subject.compiled, access, cloud_platform.fetch(keeps=False), now))
    try:
        with open_state() as state:
            facts = list(source_health.read_facts(state.reader, subject.slices["receive"], silences, outside))
    except StateFault:
        return ok("no event yet")
    except errors.HookchainError as error:
        return unknown(f"the events cannot be read: {error.detail}")
    return health_finding({each.source: source_health.judge(each, now, subject.where) for each in facts})


def health_finding(healths: Mapping[str, source_health.Health]) -> Finding:
    """Report the first source that needs an operator, else count the sources."""
    faulty = {name: each for name, each in healths.items() if each.word in ("unregistered", "failing")}
    if faulty:
        return problem(*_first_health(faulty))
    quiet = {name: each for name, each in healths.items() if each.word == "quiet"}
    if quiet:
        return unknown(*_first_health(quiet))
    counts = Counter(each.word for each in healths.values())
    return ok(", ".join(f"{count} {word}" for word, count in counts.items()) or "the configuration has none")


def _first_health(healths: Mapping[str, source_health.Health]) -> tuple[str, str]:
    [(name, health), *others] = healths.items()
    more = ", ".join(f"{other} is {each.word}" for other, each in others)
    return f"{name} is {health.word}: {health.reason}{f'; {more}' if more else ''}", health.command


def sender_finding(subject: Subject, key: Callable[[], str | None], is_local: bool) -> Finding:
    if not subject.slices:
        return NOT_COMPILED
    if fault := mail_settings.mail_settings_fault(subject.environ):
        return problem(fault, "correct it in your shell or in .env")
    settings = read_settings(subject.environ)
    sendgrid_key = key()
    if is_local and not sendgrid_key:
        return ok("mail is caught here, not sent")
    return senders.sender(subject.notify, settings.email_from, settings.sendgrid_url, sendgrid_key)


def stored_key(place: SecretBackend) -> str | None:
    stored = place.find([API_KEY]).get(API_KEY)
    return stored.values[0] if stored and stored.values else None


# What destinations write to. Without a destination of that kind, there is no check.


def sharing_checks(
    subject: Subject, place: SecretBackend, own_account: str | None = None, *, catches: bool = False
) -> list[Check]:
    """Return the check of Google's files that must be shared. `catches`: rows of sheets without a key are caught."""
    notify = places.without_caught(subject.notify) if catches else subject.notify
    if not places.has_shared_files(notify):
        return []
    return [Check("shared files", lambda: places.sharing(notify, own_account, place))]


def place_checks(subject: Subject, check: Callable[[jsontext.JsonObject], Finding]) -> list[Check]:
    if not subject.slices or not places.has_places(subject.notify):
        return []
    return [Check("tables and buckets", partial(check, subject.notify))]


def bus_checks(subject: Subject, check: Callable[[Mapping[str, jsontext.JsonObject]], Finding | None]) -> list[Check]:
    finding = check(subject.slices) if subject.slices else None
    return [Check("buses", lambda: finding)] if finding else []


def database_checks(subject: Subject, place: SecretBackend, *, is_local: bool = False) -> list[Check]:
    """Return the check of the tables in databases.

    `is_local`: notify runs on this machine too, so it reaches what this machine does.
    """
    if not subject.slices or not sql_destinations(subject.notify):
        return []

    def run() -> Finding:
        # Imported here, because it is slow to import and seldom needed.
        from deploy.doctor.databases import databases

        return databases(subject.notify, place, is_local=is_local)

    return [Check("databases", run)]


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
    late = unknown(f"no answer within {longest_seconds:.0f} s", "try again; or check your connection")
    return [(check.name, found.get(check.name, late)) for check in checks]


def _run(check: Check, done: "queue.SimpleQueue[tuple[str, Finding]]") -> None:
    done.put((check.name, _finding(check)))


def _finding(check: Check) -> Finding:
    try:
        return check.run()
    except (gcp.NotSignedIn, gcp.GcloudMissing):
        return unknown("needs gcloud, signed in")
    except aws.NoCredentials:
        return unknown("needs AWS credentials")
    except (gcp.ApiError, command_line.CommandError) as fault:
        return unknown(str(fault).split("\n")[0])
    except Exception as error:  # one check's own fault must not hide what the others found
        return unknown(f"the check failed: {errors.place_of(error)}", "please report it")
