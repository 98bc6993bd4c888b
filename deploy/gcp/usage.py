"""The measured usage of an event, the price file, and the usage table of the page."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

from deploy.config.compiler import FUNCTIONS, compile_file
from deploy.gcp.costs import GIB, Row, Traffic, rows
from deploy.gcp.graph import Deployment, graph
from deploy.gcp.resource import Resource
from deploy.gcp.resources.services import Bundle
from deploy.google.target import Target
from shared.jsontext import JsonObject
from shared.retention import Retention

FOLDER: Final = Path(__file__).resolve().parent
USAGE_FILE: Final = FOLDER / "usage.json"
PRICES_FILE: Final = FOLDER / "prices.yaml"
BEGIN: Final = "<!-- usage: written by `python -m tests.bench.usage --write` -->"
END: Final = "<!-- end of usage -->"
SPARSE: Final = Traffic(1_000)
STEADY: Final = Traffic(1_000_000)


class PricesFault(Exception):
    """The price file is invalid. The text says what and where."""


def resources(slices: Mapping[str, JsonObject], environ: Mapping[str, str]) -> tuple[Resource, ...]:
    """Return the resources of a deployment. Names and builds do not affect its usage."""
    bundles = {name: Bundle(Path(name), "") for name in FUNCTIONS}
    return graph(Deployment(Target("my-project"), "0", slices, bundles, environ, Path()))


def default_plan() -> tuple[Resource, ...]:
    """Return the plan without a configuration file: one source, one route, one mail."""
    environ = {"EMAIL_ADDRESS": "you@example.com"}
    return resources(compile_file(None, environ), environ)


def usage_table(usage: Mapping[str, float]) -> str:
    """Return the usage in a month of sparse and of steady traffic, as a Markdown table."""
    plan = default_plan()
    sparse, steady = (used(rows(plan, usage, traffic, Retention())) for traffic in (SPARSE, STEADY))
    head = [
        "| a month, one route and one mail each | 1,000 events, one by one | a million, spread evenly |",
        "|---|---:|---:|",
    ]
    pairs = zip(sparse, steady, strict=True)
    return "\n".join([*head, *(f"| {one.what} | {amount_text(one)} | {amount_text(many)} |" for one, many in pairs)])


def used(found: Iterable[Row]) -> list[Row]:
    """Return the rows without those that only some configurations have."""
    return [row for row in found if row.amount or not row.price.startswith("idle_")]


def amount_text(row: Row) -> str:
    if row.unit == "bytes":
        gib = row.amount / GIB
        return f"{gib:,.1f} GiB" if gib >= 0.1 else f"{gib * 1024:,.1f} MiB"
    return f"{row.amount:,.0f} {row.unit}".rstrip()


def in_readme(page: str, usage: Mapping[str, float]) -> str:
    """Return the page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{usage_table(usage)}\n{END}{after}"


def read_usage() -> dict[str, float]:
    usage: dict[str, float] = json.loads(USAGE_FILE.read_text(encoding="utf-8"))
    return usage


def price_rows() -> Sequence[Row]:
    return rows(default_plan(), read_usage(), STEADY, Retention())


def read_prices(path: Path) -> tuple[str, str, dict[str, float]]:
    """Return the currency, where and when the prices were listed, and the prices. Raises PricesFault."""
    try:
        document: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PricesFault(f"{path} cannot be read: {type(error).__name__}") from error
    if not isinstance(document, dict):
        raise PricesFault(f"{path}: must be lines of `name: price`")
    known = {row.price for row in price_rows()}
    filled = {
        str(name): value for name, value in document.items() if name not in {"currency", "listed"} and value is not None
    }
    for name, value in filled.items():
        if name not in known:
            raise PricesFault(f"{path}: {name!r} is not a price; use {', '.join(sorted(known))}")
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise PricesFault(f"{path}: {name}: must be a number such as 0.4; got {value!r}")
    return (
        str(document.get("currency", "")),
        str(document.get("listed", "")),
        {name: float(value) for name, value in filled.items()},
    )
