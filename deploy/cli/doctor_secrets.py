"""The secrets that the configuration needs: there, and strong."""

from collections.abc import Sequence

from deploy.cli.secrets_listing import MISSING, PRESENT, UNREADABLE, WEAK, state_of, why_weak
from deploy.gcp.first_values import is_made_up
from deploy.secrets.backend import SecretBackend
from deploy.secrets.needs import Need
from deploy.terminal.finding import Finding, ok, problem, unknown
from shared.jsontext import JsonObject


def secrets(needed: Sequence[Need], place: SecretBackend, receive: JsonObject, where: str) -> Finding:
    """`receive` is its slice, `where` what commands have to be told of where: nothing for this machine."""
    if not needed:
        return ok("the configuration needs none")
    found = place.find([need.name for need in needed])
    states = {need.name: state_of(need, found.get(need.name)) for need in needed}
    is_local = not where
    for need in needed:
        if states[need.name] == WEAK:
            said = f"{need.name}: {why_weak(need, found[need.name])}"
            return problem(_with_more(said, states, WEAK), f"hookchain secrets set {need.name}{where}")
    missing = [need for need in needed if states[need.name] == MISSING]
    lacking = [need.name for need in missing if not is_local and not is_made_up(need, receive)]
    if lacking:
        return problem(f"missing: {', '.join(lacking)}", f"hookchain secrets set {lacking[0]}{where}")
    unreadable = [name for name, state in states.items() if state == UNREADABLE]
    if unreadable:
        return unknown(f"{unreadable[0]} {found[unreadable[0]].trouble}")
    if missing:
        who = "`hookchain dev` makes up or does not need" if is_local else "the deploy makes up"
        return ok(f"{who}: {', '.join(need.name for need in missing)}")
    strong = all(state == PRESENT for state in states.values())
    return ok(f"{len(needed)} there{'' if strong else ', some under 16 characters'}")


def _with_more(said: str, states: dict[str, str], state: str) -> str:
    count = sum(each == state for each in states.values()) - 1
    return f"{said} ({count} more are {state})" if count else said
