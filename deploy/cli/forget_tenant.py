"""`hookchain forget --tenant`: erase what every store holds of a tenant, and search again to show that it is gone."""

import asyncio
import shlex
import sys
import time
from typing import TYPE_CHECKING, Final

from deploy.cli.command import DONE, NOT_DONE
from deploy.history.forget_tenant import Known, TenantTraces, open_tenant_forgetter, subscriber_destinations
from deploy.platforms.choice import same_platform
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import Column, count_of, print_json, printable, table
from shared.jsontext import Json, JsonObject

if TYPE_CHECKING:
    from deploy.cli.forget import Call

BEYOND_REACH: Final = (
    "requests that were sent to the tenant's endpoints: ask the tenant",
    "operational events about its endpoints, at the destinations that get them",
    "logs: they have ids, types and outcomes, and no body",
)


def run(call: "Call") -> int:
    """Raises CommandError, StateFault and HookchainError."""
    options, tenant = call.options, str(call.options.tenant)
    found = asyncio.run(_search(call, tenant))
    if not any(found.counts):
        raise CommandError(f"nothing is stored of a tenant {tenant!r}")
    if not options.yes:
        _print_found(call, found)
    if options.dry_run or not _is_confirmed(call, tenant):
        return DONE
    left = asyncio.run(_erase(call, found))
    _print_erased(call, found, left)
    return NOT_DONE if any(left.counts) else DONE


async def _search(call: "Call", tenant: str, known: Known | None = None) -> TenantTraces:
    async with open_tenant_forgetter(call.state, call.mails) as forgetter:
        return await forgetter.search(tenant, known)


async def _erase(call: "Call", found: TenantTraces) -> TenantTraces:
    """Erase, and search again with connections of their own. Return what is left."""
    async with open_tenant_forgetter(call.state, call.mails) as forgetter:
        await forgetter.erase(found, time.time())
    return await _search(call, found.tenant, found.known)


def _is_confirmed(call: "Call", tenant: str) -> bool:
    if call.options.yes:
        return True
    if not sys.stdin.isatty():
        line = f"hookchain forget --tenant {shlex.quote(tenant)}{same_platform(call.options)} --yes"
        print(f"Nothing was erased. To erase it:\n  {line}")
        return False
    try:
        answer = input(f"This cannot be undone. Type {printable(tenant)} to erase this tenant: ").strip()
    except EOFError:
        answer = ""
    if answer != tenant:
        print("Nothing was erased.")
    return answer == tenant


def _print_found(call: "Call", found: TenantTraces) -> None:
    if call.options.json:
        print_json({"dry_run": True, **_document(found), "stores": {**found.by_store()}})
        return
    rows = [(store, f"{count:,}") for store, count in found.by_store().items()]
    print(f"Tenant {printable(found.tenant)}\n")
    print(table((Column("STORE"), Column("FOUND")), rows, call.screen) + "\n")
    if found.unsent:
        print(f"{count_of(found.unsent, 'delivery', 'deliveries')} not sent yet would never be sent.")


def _print_erased(call: "Call", found: TenantTraces, left: TenantTraces) -> None:
    before, after = found.by_store(), left.by_store()
    not_rewritten = call.state.rewrite_files()
    beyond = [*BEYOND_REACH, *call.state.beyond_reach, *(f"deleted data in {each}" for each in not_rewritten)]
    lines = _event_lines(call, found.tenant)
    if call.options.json:
        stores: JsonObject = {store: {"found": before[store], "left": after[store]} for store in before}
        commands: list[Json] = [*lines]
        print_json(
            {
                "dry_run": False,
                **_document(found),
                "stores": stores,
                "beyond_reach": [*beyond],
                "event_commands": commands,
            }
        )
        return
    rows = [(store, f"{count - after[store]:,}", f"{after[store]:,}") for store, count in before.items()]
    print(table((Column("STORE"), Column("ERASED"), Column("LEFT")), rows, call.screen) + "\n")
    if any(left.counts):
        print(f"Something remains of {printable(found.tenant)}. Run the command again.")
    else:
        print(f"Searched again: nothing is left of {printable(found.tenant)}.")
    if lines:
        print("The events themselves are stored as they were received. To erase them too:")
        print("\n".join(f"  {line}" for line in lines))
    print("\n".join(["What this command cannot reach:", *(f"  - {each}" for each in beyond)]))


def _event_lines(call: "Call", tenant: str) -> list[str]:
    """Return the commands that erase the tenant's events: a destination's expression says whose an event is."""
    expressions = dict.fromkeys(each for each in subscriber_destinations(call.state).values() if each)
    where = same_platform(call.options)
    conditions = [f"contains([{each}][], '{tenant}')" for each in expressions]
    return [f"hookchain forget --where {shlex.quote(each)}{where} --dry-run" for each in conditions]


def _document(found: TenantTraces) -> JsonObject:
    return {"tenant": found.tenant, "unsent": found.unsent}
