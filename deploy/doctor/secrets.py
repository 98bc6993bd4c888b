"""The secrets that the configuration needs: there, and strong."""

from collections.abc import Sequence

from deploy.commands.secrets_list import MISSING, PRESENT, UNREADABLE, WEAK, state_of, why_weak
from deploy.doctor.finding import Finding, ok, problem, unknown
from deploy.secrets.needs import Need
from deploy.secrets.place import Place


def secrets(needed: Sequence[Need], place: Place, is_local: bool) -> Finding:
    if not needed:
        return ok("the configuration needs none")
    found = place.find([need.name for need in needed])
    states = {need.name: state_of(need, found.get(need.name)) for need in needed}
    where = "" if is_local else " --platform gcp"
    for need in needed:
        if states[need.name] == WEAK:
            said = f"{need.name}: {why_weak(need, found[need.name])}"
            return problem(_with_more(said, states, WEAK), f"hookchain secrets set {need.name}{where}")
    missing = [name for name, state in states.items() if state == MISSING]
    if missing and not is_local:
        return problem(f"missing: {', '.join(missing)}", f"hookchain secrets set {missing[0]}{where}")
    unreadable = [name for name, state in states.items() if state == UNREADABLE]
    if unreadable:
        return unknown(f"{unreadable[0]} {found[unreadable[0]].trouble}")
    if missing:
        return ok(f"`hookchain dev` makes up or does not need: {', '.join(missing)}")
    strong = all(state == PRESENT for state in states.values())
    return ok(f"{len(needed)} there{'' if strong else ', some under 16 characters'}")


def _with_more(said: str, states: dict[str, str], state: str) -> str:
    count = sum(each == state for each in states.values()) - 1
    return f"{said} ({count} more are {state})" if count else said
