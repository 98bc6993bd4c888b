"""`hookchain secrets list`: the state of each secret that the configuration needs, never its value."""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

from deploy.cli.command import DONE, NOT_DONE
from deploy.config.configured import configured, environ_of
from deploy.doctor.configuration import MISSING, PRESENT, SHORT, UNREADABLE, WEAK, state_of, why_weak
from deploy.platforms.choice import is_local, same_platform
from deploy.platforms.platform import Platform
from deploy.secrets.backend import SecretBackend, StoredSecret
from deploy.secrets.generated import misspelt
from deploy.secrets.needs import Need, needs
from deploy.terminal.tables import GREEN, RED, YELLOW, Column, screen_of, table
from shared.jsontext import JsonObject
from shared.secrets import from_environment, from_folder
from shared.settings import read_settings
from shared.times import rfc3339

_COLOURS: Final = {PRESENT: GREEN, SHORT: YELLOW, WEAK: RED, MISSING: RED, UNREADABLE: YELLOW}
_DAY_SECONDS: Final = 86_400
COLUMNS: Final = (
    Column("SECRET"),
    Column("READ BY", 8),
    Column("FOR", 10),
    Column("STATE", colour=lambda text: _COLOURS.get(text, "")),
    Column("VALUES"),
    Column("AGE"),
    Column("WHERE", 8, is_whole_in_pipe=True),
)


def list_secrets(options: argparse.Namespace, platform: Platform) -> int:
    have, place = configured(options), platform.secrets()
    needed = needs(have.slices, have.environ, has_ses=platform.traits.has_ses)
    found = place.find([need.name for need in needed])
    states = {need.name: state_of(need, found.get(need.name)) for need in needed}
    if options.json:
        print(json.dumps({"secrets": [_document(each, found.get(each.name), states[each.name]) for each in needed]}))
    elif not needed:
        print("The configuration needs no secrets.", file=sys.stderr)
    else:
        rows = [_row(need, found.get(need.name), states[need.name], time.time()) for need in needed]
        print(table(COLUMNS, rows, screen_of(sys.stdout, os.environ)))
        misspelt_names = _misspelt(options, [need.name for need in needed]) if is_local(options) else []
        for line in (*misspelt_names, *_advice(options, needed, found, states, place)):
            print(line, file=sys.stderr)
    bad = {WEAK, UNREADABLE, MISSING}
    return NOT_DONE if any(states[need.name] in bad and _is_due(options, need, states) for need in needed) else DONE


def _misspelt(options: argparse.Namespace, names: Sequence[str]) -> Sequence[str]:
    readers = from_folder(read_settings(environ_of(options)).secrets_folder), from_environment(environ_of(options))
    return [f"warning: {text}" for text in misspelt(options.env_file, names, readers).values()]


def _is_due(options: argparse.Namespace, need: Need, states: Mapping[str, str]) -> bool:
    """Tell whether a missing secret is a fault: `hookchain dev` generates most, and needs none for caught mail."""
    is_needed = not is_local(options) or need.is_credential
    return states[need.name] != MISSING or (is_needed and not need.is_optional)


def _row(need: Need, stored: StoredSecret | None, state: str, now: float) -> tuple[str, ...]:
    count = str(len(stored.values)) if stored and stored.text is not None else ""
    age = "" if stored is None or stored.set_at is None else age_text(now - stored.set_at)
    return need.name, ", ".join(need.readers), ", ".join(need.uses), state, count, age, stored.where if stored else ""


def age_text(seconds: float) -> str:
    days = int(max(0.0, seconds) // _DAY_SECONDS)
    return "today" if days == 0 else "1 day" if days == 1 else f"{days} days"


def _without(need: Need) -> str:
    """Return what `hookchain dev` does without the secret, and the beginning of what else is possible."""
    if need.is_credential:
        return f"deliveries to {', '.join(need.uses)} are held until you set it"
    return "`hookchain dev` generates it, or" if need.is_made_locally else "not needed here: mail is caught, or"


def _document(need: Need, stored: StoredSecret | None, state: str) -> JsonObject:
    return {
        "name": need.name,
        "readers": list(need.readers),
        "uses": list(need.uses),
        "state": state,
        "values": len(stored.values) if stored and stored.text is not None else None,
        "set_at": None if stored is None or stored.set_at is None else rfc3339(stored.set_at),
        "where": stored.where if stored else None,
    }


def _advice(
    options: argparse.Namespace,
    needed: list[Need],
    found: Mapping[str, StoredSecret],
    states: Mapping[str, str],
    place: SecretBackend,
) -> list[str]:
    where = same_platform(options)
    lines: list[str] = []
    for need in needed:
        stored = found.get(need.name)
        if states[need.name] == WEAK and stored:
            lines.append(f"{need.name}: {why_weak(need, stored)}: hookchain secrets set {need.name}{where}")
        elif states[need.name] == UNREADABLE and stored:
            lines.append(f"{need.name}: {stored.trouble}")
        elif states[need.name] == MISSING and need.is_optional:
            lines.append(f"{need.name}: optional, SES sends the mail; or: hookchain secrets set {need.name}{where}")
        elif states[need.name] == MISSING and not is_local(options):
            lines.append(f"{need.name}: hookchain secrets set {need.name}{where}")
        elif states[need.name] == MISSING:
            lines.append(f"{need.name}: {_without(need)}: hookchain secrets set {need.name}")
        elif need.is_signing_key:
            uses = ", ".join(need.uses)
            lines.append(f"{need.name}: the receiver of {uses} needs it. To read it: {place.how_to_read(need.name)}")
        if stored and stored.shadow:
            lines.append(f"{need.name}: it is in .env too; {stored.shadow} takes precedence")
    return lines
