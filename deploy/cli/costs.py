"""`hookchain costs`: estimate what a month of events uses and costs in a cloud."""

import argparse
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.cli.command import DONE, number_option, parser, run_command
from deploy.cloud_access.aws import configured_region
from deploy.cloud_access.gcp_names import DEFAULT_REGION
from deploy.config.checkout import deployed_config
from deploy.config.compiler import compile_file
from deploy.config.configured import add_configuration, environ_of
from deploy.platforms.choice import CLOUDS, PLATFORMS
from deploy.terminal.command_line import CommandError, UsageError
from deploy.terminal.output import Column, print_json, screen_of, table
from deploy.topology.estimate import (
    ANSWER_SECONDS,
    MILLION,
    PricesFault,
    Row,
    Traffic,
    amount_text,
    read_prices,
    signed_share,
    used,
)
from shared.jsontext import Json, JsonObject

DETAILS: Final = """\
The amounts follow the plan of your configuration: sizes, schedule, retention. They assume one route and one mail for
each event, spread evenly over the month and over the sources, and with subscribers one tenant for each event.
deploy/gcp/README.md says what is measured and what is assumed. The prices are list prices without the free tier, of one
region; edit deploy/gcp/prices.yaml or deploy/aws/prices.yaml, or copy it, to use your own, under `regions` those of
your region."""


def main(arguments: list[str]) -> int:
    command = parser("costs", "hookchain costs --platform aws --events 250000 --answer-seconds 2", details=DETAILS)
    add_configuration(command)
    titles = " or ".join(PLATFORMS[name].title for name in CLOUDS)
    command.add_argument("--platform", choices=CLOUDS, default=CLOUDS[0], help=f"choose {titles} [{CLOUDS[0]}]")
    command.add_argument("--region", help="set the region [the region of the plan]")
    amount = number_option(0, 1e15)
    command.add_argument("--events", type=amount, default=MILLION, help="set the number of events per month [1000000]")
    answer_help = f"set how long a destination takes to answer [{ANSWER_SECONDS:g}]"
    command.add_argument("--endpoints", type=amount, help="set how many subscriber endpoints an event goes to [1]")
    command.add_argument("--answer-seconds", type=amount, default=ANSWER_SECONDS, help=answer_help)
    command.add_argument(
        "--prices", metavar="FILE", type=Path, help="read the prices here [deploy/PLATFORM/prices.yaml]"
    )
    command.add_argument("--json", action="store_true", help="print one JSON document: the rows and their total")
    options = command.parse_args(arguments)
    return run_command("costs", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    environ = environ_of(options)
    config = deployed_config(options.config, environ)
    if config is None:
        environ.setdefault("EMAIL_ADDRESS", "you@example.com")
    find_costs = PLATFORMS[options.platform].kind().costs
    assert find_costs is not None, "this machine has no costs, and is no choice"
    costs = find_costs()
    file = options.prices or costs.prices
    region = _region(options, environ)
    try:
        currency, listed, prices = read_prices(file, costs.known_prices(), region)
    except PricesFault as fault:
        raise CommandError(str(fault)) from fault
    slices = compile_file(config, environ)
    destinations = slices["notify"]["destinations"]
    assert isinstance(destinations, dict)
    signed = signed_share(slices["receive"])
    has_subscribers = "subscribers" in slices["notify"]
    if options.endpoints is not None and not has_subscribers:
        raise UsageError("--endpoints: has no effect, because the configuration has no `subscribers`")
    endpoints = (1.0 if options.endpoints is None else options.endpoints) if has_subscribers else 0.0
    traffic = Traffic(options.events, options.answer_seconds, signed, len(destinations), endpoints)
    found = used(costs.rows(slices, environ, traffic))
    missing = [row.price for row in found if row.price not in prices]
    total = sum(_cost(row, prices) for row in found)
    if options.json:
        print_json(_document(found, prices, {"events": options.events, "currency": currency, "total": total}))
        return DONE
    screen = screen_of(sys.stdout, os.environ)
    columns = [Column(f"{options.events:,.0f} EVENTS A MONTH"), Column("USE"), Column(currency or "COST")]
    print(table(columns, [(row.what, amount_text(row), _cost_text(row, prices)) for row in found], screen))
    if len(missing) < len(found):
        print(f"\nTotal: {total:,.2f} {currency} a month{', without what has no price' if missing else ''}")
        if listed:
            print(f"Prices: {listed}")
            if region and region not in listed:
                print(
                    f"The plan's region is {region}, where prices may differ. Write its own under `regions` in {file}."
                )
    if missing:
        print(f"\nNo price in {file}: {', '.join(missing)}")
    return DONE


def _region(options: argparse.Namespace, environ: Mapping[str, str]) -> str:
    """Return the region that a plan would use; empty if nothing names one."""
    if options.platform == "gcp":
        return options.region or environ.get("HOOKCHAIN_REGION") or DEFAULT_REGION
    named = options.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if named is None and importlib.util.find_spec("boto3"):
        named = configured_region()
    return named or ""


def _document(found: Sequence[Row], prices: dict[str, float], totals: JsonObject) -> JsonObject:
    """Return the estimate. `cost` is null where there is no price, and `total` is without it."""
    rows: list[Json] = [
        {
            "what": row.what,
            "amount": row.amount,
            "price": row.price,
            "cost": _cost(row, prices) if row.price in prices else None,
        }
        for row in found
    ]
    return {**totals, "rows": rows}


def _cost(row: Row, prices: dict[str, float]) -> float:
    return row.amount / row.per * prices.get(row.price, 0.0)


def _cost_text(row: Row, prices: dict[str, float]) -> str:
    return f"{_cost(row, prices):,.2f}" if row.price in prices else "?"
