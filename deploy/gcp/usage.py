"""What an event was measured to use, as a table for many of them, and what that costs at the operator's prices."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

FOLDER: Final = Path(__file__).resolve().parent
USAGE_FILE: Final = FOLDER / "usage.json"
PRICES_FILE: Final = FOLDER / "prices.yaml"
BEGIN: Final = "<!-- usage: written by `python -m tests.bench.usage --write` -->"
END: Final = "<!-- end of usage -->"
MILLION: Final = 1_000_000
TIB: Final = 2**40
MEMORY_GIB: Final = 0.5
"""What each instance has: deploy/gcp/resources/services.py."""


class PricesFault(Exception):
    """The price file cannot be read as one; the text says what and where."""


@dataclass(frozen=True, slots=True)
class Row:
    """`amount` of `unit`; `price` is the key in the price file, for `per` of them."""

    what: str
    amount: float
    unit: str
    price: str
    per: float


def rows(usage: Mapping[str, float], events: float = MILLION) -> list[Row]:
    """`usage` is of one event."""
    cpu = usage["cpu_seconds"]
    return [
        Row("requests to the functions", usage["requests"] * events, "", "million_requests", MILLION),
        Row("CPU of the functions", cpu * events, "s", "cpu_second", 1),
        Row("memory meanwhile", cpu * MEMORY_GIB * events, "GiB s", "memory_gib_second", 1),
        Row("bus, published and delivered", usage["bus_bytes"] * events, "bytes", "bus_tib", TIB),
        Row("ledger and journal, writes", usage["documents_written"] * events, "", "million_document_writes", MILLION),
        Row("ledger and journal, reads", usage["documents_read"] * events, "", "million_document_reads", MILLION),
        Row("documents deleted in the end", usage["documents_kept"] * events, "", "million_document_deletes", MILLION),
    ]


def usage_table(usage: Mapping[str, float]) -> str:
    """For a million events, as Markdown."""
    lines = ["| a million events, one route and one mail each | |", "|---|---:|"]
    return "\n".join([*lines, *(f"| {row.what} | {amount_text(row)} |" for row in rows(usage))])


def amount_text(row: Row) -> str:
    if row.unit == "bytes":
        return f"{row.amount / 2**30:,.1f} GiB"
    return f"{row.amount:,.0f} {row.unit}".rstrip()


def in_readme(page: str, usage: Mapping[str, float]) -> str:
    """The page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{usage_table(usage)}\n{END}{after}"


def read_usage() -> dict[str, float]:
    usage: dict[str, float] = json.loads(USAGE_FILE.read_text(encoding="utf-8"))
    return usage


def read_prices(path: Path) -> tuple[str, dict[str, float]]:
    """The currency, and the prices that are filled in. Raises PricesFault."""
    try:
        document: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PricesFault(f"{path} cannot be read: {type(error).__name__}") from error
    if not isinstance(document, dict):
        raise PricesFault(f"{path}: a price file is lines of `name: price`")
    known = {row.price for row in rows(read_usage())}
    filled = {str(name): value for name, value in document.items() if name != "currency" and value is not None}
    for name, value in filled.items():
        if name not in known:
            raise PricesFault(f"{path}: {name!r} is no price; there are {', '.join(sorted(known))}")
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise PricesFault(f"{path}: {name}: a price is a number, such as 0.4")
    return str(document.get("currency", "")), {name: float(value) for name, value in filled.items()}
