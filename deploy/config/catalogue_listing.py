"""The catalogue as a table, one provider a line."""

from deploy.config.auth_descriptions import short_proofs
from deploy.config.catalogue import Catalogue
from deploy.config.models.provider import ProviderEntry
from deploy.terminal.printing import count_of
from deploy.terminal.tables import DIM, YELLOW, Column, Screen, table


def matching(catalogue: Catalogue, text: str | None) -> Catalogue:
    if text is None:
        return catalogue
    wanted = text.casefold()
    return {key: entry for key, entry in catalogue.items() if wanted in _searched(key, entry)}


def _searched(key: str, entry: ProviderEntry) -> str:
    words = [key, entry.name, entry.setup or "", *entry.notes, *short_proofs(entry), *_handshakes(entry)]
    return "\n".join(words).casefold()


def listing(catalogue: Catalogue, screen: Screen) -> str:
    columns = [
        Column("KEY"),
        Column("PROVIDER", 12),
        Column("PROOF", 12),
        Column("HANDSHAKE", 9, lambda _: DIM),
        Column("PROVEN", None, lambda text: YELLOW if text == "nothing" else ""),
    ]
    rows = [_row(key, entry) for key, entry in catalogue.items()]
    more = f"{count_of(len(rows), 'provider')}. `hookchain providers KEY` says how to set one up."
    return f"{table(columns, rows, screen)}\n\n{more}"


def _row(key: str, entry: ProviderEntry) -> tuple[str, ...]:
    proofs = ", ".join(dict.fromkeys(short_proofs(entry))) or "none of its own"
    return key, entry.name, proofs, ", ".join(_handshakes(entry)), entry.proven.by


def _handshakes(entry: ProviderEntry) -> list[str]:
    return [handshake.name for handshake in entry.handshakes]
