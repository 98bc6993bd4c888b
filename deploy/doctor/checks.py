"""The checks of `hookchain doctor` that every platform has.

The modules of deploy/platforms list their checks.
"""

import argparse
import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from deploy.config import checkout, config_file, configured
from deploy.config.config_file import NO_FILE
from deploy.config.databases import sql_destinations
from deploy.config.kept_bodies import blobs_seconds
from deploy.history import source_access, source_health, status
from deploy.history.local import open_local_state
from deploy.history.state import State, StateFault, configured_destinations
from deploy.secrets import forms, values as secret_values
from deploy.secrets.backend import SecretBackend, StoredSecret
from deploy.secrets.needs import Need, missing_effect, needs
from deploy.terminal import command_line, output
from deploy.terminal.finding import Check, Finding, ok, problem, unknown
from shared import errors, jsontext, retention
from shared.cloud import platform as cloud_platform
from shared.ledger import PAUSED_BY_OPERATOR

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
    compiled: configured.LoadedConfig | config_file.ConfigFaults
    where: str

    @property
    def is_deployment(self) -> bool:
        """Return whether the checks are of a deployment in a cloud, not of this machine."""
        return bool(self.where)

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
    subject: Subject, backend: SecretBackend, *, has_ses: bool = False, is_server: bool = False
) -> Finding:
    """Check the secrets. The worst comes first: faulty values, then missing ones that prevent a start, then the others.

    `is_server`: this machine runs `hookchain serve`, which generates none.
    """
    if not subject.slices:
        return NOT_COMPILED
    needed = needs(subject.slices, subject.environ, has_ses=has_ses)
    if not needed:
        return ok("the configuration needs none")
    found = backend.find([need.name for need in needed])
    states = {need.name: secret_values.state_of(need, found.get(need.name)) for need in needed}
    is_dev = not subject.is_deployment and not is_server
    absent = [need for need in needed if states[need.name] == secret_values.MISSING]
    dispensable = [need for need in absent if need.is_optional or (is_dev and need.origin == "mail service")]
    missing = [need for need in absent if need not in dispensable]
    unreadable = [need for need in needed if states[need.name] == secret_values.UNREADABLE]
    if weak := [need for need in needed if states[need.name] == secret_values.WEAK]:
        return _weak_problem(subject, weak, found)
    if unusable := forms.unusable_secrets(subject.slices, lambda name: _values_of(found.get(name))):
        return _unusable_problem(subject, unusable)
    if missing and (finding := _start_problem(subject, missing, is_server=is_server)):
        return finding
    if unreadable:
        name = unreadable[0].name
        return unknown(f"{name} {found[name].trouble}")
    if missing:
        return _missing_finding(subject, missing)
    short = ", some under 16 characters" if secret_values.SHORT in states.values() else ""
    others = f"; not set, and not needed: {_names_text(dispensable)}" if dispensable else ""
    return ok(f"{len(needed) - len(dispensable)} found{short}{others}")


def _values_of(stored: StoredSecret | None) -> Sequence[str]:
    return stored.values if stored else ()


def _names_text(needed: Iterable[Need]) -> str:
    return ", ".join(need.name for need in needed)


def _weak_problem(subject: Subject, weak: Sequence[Need], found: Mapping[str, StoredSecret]) -> Finding:
    name = weak[0].name
    why = secret_values.why_weak(weak[0], found[name])
    more = f" ({len(weak) - 1} more are {secret_values.WEAK})" if len(weak) > 1 else ""
    return problem(f"{name}: {why}{more}", f"hookchain secrets set {name}{subject.where}")


def _unusable_problem(subject: Subject, unusable: Sequence[forms.UnusableSecret]) -> Finding:
    first = unusable[0]
    others = ", ".join(dict.fromkeys(each.name for each in unusable if each.name != first.name))
    more = f" (of a wrong form too: {others})" if others else ""
    return problem(f"{first.reason}{more}", f"hookchain secrets set {first.name}{subject.where}")


def _start_problem(subject: Subject, missing: Sequence[Need], *, is_server: bool) -> Finding | None:
    """Return the problem of the secrets that must be set before a deployment or `hookchain serve`; None without any.

    A deployment generates the other ones.
    """
    lacking: Sequence[Need] = ()
    effect = ""
    if subject.is_deployment:
        lacking = [need for need in missing if not secret_values.is_generated(need, subject.slices["receive"])]
    elif is_server:
        lacking, effect = missing, "; `hookchain serve` does not start without them"
    if not lacking:
        return None
    rule = f"missing: {_names_text(lacking)}{effect}"
    return problem(rule, f"hookchain secrets set {lacking[0].name}{subject.where}")


def _missing_finding(subject: Subject, missing: Sequence[Need]) -> Finding:
    """Judge missing secrets that stop no start: `make dev` generates all but the credentials of destinations."""
    if subject.is_deployment:
        return ok(f"the deployment generates: {_names_text(missing)}")
    credentials = [need for need in missing if need.origin == "issued"]
    if not credentials:
        return ok(f"not set: {_names_text(missing)}; `make dev` generates them")
    rule = f"missing: {_names_text(credentials)}; {missing_effect(credentials)}"
    return problem(rule, f"hookchain secrets set {credentials[0].name}")


# Deliveries and sources


def deliveries_finding(subject: Subject) -> Finding:
    if not subject.slices:
        return NOT_COMPILED
    return held_finding(subject.options.state, configured_destinations(subject.notify))


def held_finding(state: Path, names: Iterable[str]) -> Finding:
    """Check these destinations, and the destinations of the newest held deliveries. Raises HookchainError."""
    try:
        with open_local_state(state) as local:
            found = asyncio.run(_held_or_paused(local, names))
    except StateFault:
        return ok("none yet")
    held = [each for each in found if _needs_operator(str(each["reason"] or ""))]
    paused = ", ".join(str(each["destination"]) for each in found if each not in held)
    if not held:
        return ok(f"paused, see `hookchain status`: {paused}" if paused else "no destination is held or paused")
    texts = [
        f"{each['destination']}, {output.count_of(int(str(each['count'])), 'delivery', 'deliveries')}: {each['reason']}"
        for each in held
    ]
    commands = [f"hookchain {each['act']} {each['destination']}" for each in held]
    others = f"; paused: {paused}" if paused else ""
    return problem(f"held: {'; '.join(texts)}{others}", f"correct it, then run: {'; '.join(commands)}")


def _needs_operator(reason: str) -> bool:
    """Return whether a destination delivers nothing for a reason that an operator has not chosen."""
    is_removed = reason.startswith(status.NOT_CONFIGURED)
    return is_removed or (bool(reason) and PAUSED_BY_OPERATOR not in reason)


async def _held_or_paused(state: State, names: Iterable[str]) -> list[jsontext.JsonObject]:
    async with state.ledger() as ledger:
        return await status.held_destinations(ledger, names, time.time())


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


# Databases


def database_checks(subject: Subject, backend: SecretBackend, *, is_local: bool = False) -> list[Check]:
    """Return the check of the tables in databases.

    `is_local`: notify runs on this machine too, so it reaches what this machine does.
    """
    if not subject.slices or not sql_destinations(subject.notify):
        return []
    if find_spec("sqlalchemy") is None:
        # On this machine, notify needs it too. In a cloud, notify has packages of its own.
        judge = problem if is_local else unknown
        how = command_line.how_to_install(checkout.ROOT, "sqlalchemy")
        return [Check("databases", lambda: judge("SQLAlchemy is not installed here", how))]
    # Imported here, because it is slow to import and seldom needed. Not in the check, which runs in a thread beside the
    # one of the secrets. Both would import SQLAlchemy at once, whose packages import each other, and one would fail.
    from deploy.doctor.databases import databases

    return [Check("databases", partial(databases, subject.notify, backend, is_local=is_local))]
