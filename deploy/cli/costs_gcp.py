"""`hookchain costs`: estimate what a month of events uses and costs on Google Cloud."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from deploy.cli.command import DONE, parser, run_command
from deploy.config.checkout import deployed_config
from deploy.config.compiler import compile_file
from deploy.config.configured import add_configuration, environ_of
from deploy.gcp.costs import ANSWER_SECONDS, MILLION, Row, Traffic, rows, signed_share
from deploy.gcp.usage import PRICES_FILE, PricesFault, amount_text, read_prices, read_usage, resources, used
from deploy.terminal.command_error import CommandError
from deploy.terminal.tables import Column, screen_of, table
from shared.retention import retention_of

DETAILS: Final = """\
The amounts follow the plan of your configuration: sizes, schedule, retention. They assume one route and one mail for
each event, spread evenly over the month and over the sources. deploy/gcp/README.md says what is measured and what is
assumed. The prices are Google's list prices without the free tier; edit deploy/gcp/prices.yaml, or copy it, to use your
own."""


def main(arguments: list[str]) -> int:
    command = parser("costs", "hookchain costs --events 250000 --answer-seconds 2", details=DETAILS)
    add_configuration(command)
    command.add_argument("--events", type=number, default=MILLION, help="set the events a month [1000000]")
    answer_help = f"set how long a destination takes to answer [{ANSWER_SECONDS:g}]"
    command.add_argument("--answer-seconds", type=number, default=ANSWER_SECONDS, help=answer_help)
    command.add_argument(
        "--prices", metavar="FILE", type=Path, default=PRICES_FILE, help="read the prices here [deploy/gcp/prices.yaml]"
    )
    options = command.parse_args(arguments)
    return run_command("costs", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    environ = environ_of(options)
    config = deployed_config(options.config, environ)
    if config is None:
        environ.setdefault("EMAIL_ADDRESS", "you@example.com")
    try:
        currency, listed, prices = read_prices(options.prices)
    except PricesFault as fault:
        raise CommandError(str(fault)) from fault
    slices = compile_file(config, environ)
    traffic = Traffic(options.events, options.answer_seconds, signed_share(slices["receive"]))
    found = used(rows(resources(slices, environ), read_usage(), traffic, retention_of(slices["notify"])))
    screen = screen_of(sys.stdout, os.environ)
    columns = [Column(f"{options.events:,.0f} EVENTS A MONTH"), Column("USE"), Column(currency or "COST")]
    print(table(columns, [(row.what, amount_text(row), _cost_text(row, prices)) for row in found], screen))
    missing = [row.price for row in found if row.price not in prices]
    total = sum(_cost(row, prices) for row in found)
    if len(missing) < len(found):
        print(f"\nTotal: {total:,.2f} {currency} a month{', without what has no price' if missing else ''}")
        if listed:
            print(f"Prices: {listed}")
    if missing:
        print(f"\nNo price in {options.prices}: {', '.join(missing)}")
    return DONE


def _cost(row: Row, prices: dict[str, float]) -> float:
    return row.amount / row.per * prices.get(row.price, 0.0)


def _cost_text(row: Row, prices: dict[str, float]) -> str:
    return f"{_cost(row, prices):,.2f}" if row.price in prices else "?"


def number(text: str) -> float:
    """Return the value of the option. Raises ValueError, which argparse reports."""
    found = float(text)
    if not 0 <= found < 1e15:
        raise ValueError(text)
    return found
