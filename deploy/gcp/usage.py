"""The measured usage of an event, the estimate of its costs, and the usage table of the page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.config.compiler import compile_file
from deploy.gcp.costs import rows
from deploy.gcp.graph import Deployment, graph
from deploy.gcp.resource import Resource
from deploy.gcp.resources.services import Bundle
from deploy.google.target import Target
from deploy.topology.estimate import CostModel, Row, Traffic, amount_text, used
from shared.jsontext import JsonObject
from shared.retention import Retention, retention_of

FOLDER: Final = Path(__file__).resolve().parent
USAGE_FILE: Final = FOLDER / "usage.json"
PRICES_FILE: Final = FOLDER / "prices.yaml"
BEGIN: Final = "<!-- usage: written by `python -m tests.bench.usage --write` -->"
END: Final = "<!-- end of usage -->"
SPARSE: Final = Traffic(1_000)
STEADY: Final = Traffic(1_000_000)


def resources(slices: Mapping[str, JsonObject], environ: Mapping[str, str]) -> tuple[Resource, ...]:
    """Return the resources of a deployment. Names and builds do not affect its usage."""
    bundles = {name: Bundle(Path(name), "") for name in slices}
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


def _rows(slices: Mapping[str, JsonObject], environ: Mapping[str, str], traffic: Traffic) -> list[Row]:
    return rows(resources(slices, environ), read_usage(), traffic, retention_of(slices["notify"]))


COSTS: Final = CostModel("Google Cloud", PRICES_FILE, lambda: {row.price for row in price_rows()}, _rows)
