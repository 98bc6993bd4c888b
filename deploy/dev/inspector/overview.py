"""The numbers above the lists, and what an operator has to know: held destinations, trouble on demand."""

from pathlib import Path

from deploy.config.dev_file import config_faults, read_hint
from deploy.dev.inspector.parts import LocalParts
from deploy.history.local import destination_names
from deploy.history.status import held_destinations
from shared.jsontext import JsonObject


async def overview(parts: LocalParts, now: float) -> JsonObject:
    counts = await parts.read(lambda: (parts.reader.counts(), parts.reader.totals(), parts.mailbox.count()))
    statuses, totals, mails = counts
    return {
        "statuses": dict(statuses),
        "refused": totals.refused,
        "dead_letters": totals.dead_letters,
        "mail": mails,
        "config_faults": config_faults(parts.state),
        "held": await held_destinations(parts.ledger, destination_names(parts.state), now),
    }


def hint_document(state: Path) -> JsonObject:
    hint = read_hint(state)
    return {"trial": hint.trial, "sources": list(hint.sources)} if hint else {"trial": "", "sources": []}
