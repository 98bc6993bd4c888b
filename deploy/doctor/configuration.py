"""The checks of the configuration: it compiles, and its secrets exist and are strong."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.config.config_file import NAME as NO_FILE
from deploy.config.config_file import ConfigFaults
from deploy.config.slices import blobs_seconds
from deploy.secrets.backend import SecretBackend, StoredSecret
from deploy.secrets.first_values import is_generated
from deploy.secrets.needs import Need
from deploy.secrets.rotation import InvalidValue, count_short, validated_values
from deploy.terminal.finding import Finding, ok, problem, unknown
from shared.jsontext import JsonObject
from shared.retention import DAY_SECONDS, retention_of

PRESENT: Final = "present"
SHORT: Final = "short"
WEAK: Final = "weak"
MISSING: Final = "missing"
UNREADABLE: Final = "unreadable"


def configuration(path: Path | None, compiled: "Mapping[str, JsonObject] | ConfigFaults") -> Finding:
    if isinstance(compiled, ConfigFaults):
        if compiled.file == NO_FILE:
            return problem(compiled.faults[0].text(compiled.file), "set EMAIL_ADDRESS, or run `hookchain init`")
        first = compiled.faults[0].text(compiled.file)
        more = f", and {len(compiled.faults) - 1} more" if len(compiled.faults) > 1 else ""
        return problem(f"{first}{more}", "hookchain lint lists every fault")
    counts = [(compiled["receive"]["sources"], "source"), (compiled["notify"]["destinations"], "destination")]
    message = ", ".join(
        f"{len(each)} {word}{'' if len(each) == 1 else 's'}" for each, word in counts if isinstance(each, dict)
    )
    notify = compiled["notify"]
    days = math.ceil(blobs_seconds(retention_of(notify), notify) / DAY_SECONDS)
    return ok(f"{path or 'no file'}: {message}; a body over 200 KiB is deleted after {days} days")


def secrets(needed: Sequence[Need], place: SecretBackend, receive: JsonObject, where: str) -> Finding:
    """Check each secret. `receive` is its slice; `where` the options that name a cloud, empty for this machine."""
    if not needed:
        return ok("the configuration needs none")
    found = place.find([need.name for need in needed])
    states = {need.name: state_of(need, found.get(need.name)) for need in needed}
    is_local = not where
    for need in needed:
        if states[need.name] == WEAK:
            message = f"{need.name}: {why_weak(need, found[need.name])}"
            return problem(_with_more(message, states, WEAK), f"hookchain secrets set {need.name}{where}")
    missing = [need for need in needed if states[need.name] == MISSING and not need.is_optional]
    lacking = [need.name for need in missing if not is_local and not is_generated(need, receive)]
    if lacking:
        return problem(f"missing: {', '.join(lacking)}", f"hookchain secrets set {lacking[0]}{where}")
    unreadable = [name for name, state in states.items() if state == UNREADABLE]
    if unreadable:
        return unknown(f"{unreadable[0]} {found[unreadable[0]].trouble}")
    if unset := [need for need in missing if is_local and need.is_credential]:
        uses = ", ".join(dict.fromkeys(use for need in unset for use in need.uses))
        names = ", ".join(need.name for need in unset)
        return problem(f"missing: {names}; deliveries to {uses} are held", f"hookchain secrets set {unset[0].name}")
    if missing:
        names = ", ".join(need.name for need in missing)
        return ok(
            f"not set: {names}; `make dev` generates those that it needs"
            if is_local
            else f"the deployment generates: {names}"
        )
    short = ", some under 16 characters" if SHORT in states.values() else ""
    optional = [name for name, state in states.items() if state == MISSING]
    others = f"; not set, and not needed: {', '.join(optional)}" if optional else ""
    return ok(f"{len(needed) - len(optional)} found{short}{others}")


def _with_more(message: str, states: dict[str, str], state: str) -> str:
    count = sum(each == state for each in states.values()) - 1
    return f"{message} ({count} more are {state})" if count else message


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
