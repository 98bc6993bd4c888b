"""`hookchain costs`: estimate what a month of events uses on Google Cloud, and costs at the prices you filled in."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from deploy.cli.ending import DONE, ended
from deploy.cli.main import parser
from deploy.config.checkout import deployed_config
from deploy.config.compiler import compile_file
from deploy.config.configured import add_configuration, environ_of
from deploy.gcp.costs import ANSWER_SECONDS, MILLION, Row, Traffic, rows
from deploy.gcp.usage import PRICES_FILE, PricesFault, amount_text, read_prices, read_usage, resources, used
from deploy.terminal.command_error import CannotTell
from deploy.terminal.tables import Column, screen_of, table
from shared.retention import retention_of

EPILOG: Final = """\
The amounts follow the plan of your configuration: sizes, schedule, retention. Measured: one route, one mail an event,
spread evenly over the month. The page deploy/gcp/README.md says what is measured and what is assumed.

Example: hookchain costs --events 250000 --answer-seconds 2"""


def main(arguments: list[str]) -> int:
    return ended("costs", lambda: _run(_options(arguments)))


def _run(options: argparse.Namespace) -> int:
    environ = environ_of(options)
    config = deployed_config(options.config, environ)
    if config is None:
        environ.setdefault("EMAIL_ADDRESS", "you@example.com")
    try:
        currency, prices = read_prices(options.prices)
    except PricesFault as fault:
        raise CannotTell(str(fault)) from fault
    slices = compile_file(config, environ)
    traffic = Traffic(options.events, options.answer_seconds)
    found = used(rows(resources(slices, environ), read_usage(), traffic, retention_of(slices["notify"])))
    screen = screen_of(sys.stdout, os.environ)
    columns = [Column(f"{options.events:,.0f} EVENTS A MONTH"), Column("USE"), Column(currency or "COST")]
    print(table(columns, [(row.what, amount_text(row), _cost_text(row, prices)) for row in found], screen))
    missing = [row.price for row in found if row.price not in prices]
    total = sum(_cost(row, prices) for row in found)
    if len(missing) < len(found):
        print(f"\nin all {total:,.2f} {currency}{', without what has no price' if missing else ''}")
    if missing:
        print(f"\nNo price in {options.prices}: {', '.join(missing)}")
    return DONE


def _cost(row: Row, prices: dict[str, float]) -> float:
    return row.amount / row.per * prices.get(row.price, 0.0)


def _cost_text(row: Row, prices: dict[str, float]) -> str:
    return f"{_cost(row, prices):,.2f}" if row.price in prices else "?"


def _options(arguments: list[str]) -> argparse.Namespace:
    words = parser("costs", EPILOG)
    add_configuration(words)
    words.add_argument("--events", type=number, default=MILLION, help="events a month [default: 1000000]")
    words.add_argument(
        "--answer-seconds",
        type=number,
        default=ANSWER_SECONDS,
        help=f"how long a destination takes to answer [default: {ANSWER_SECONDS:g}]",
    )
    words.add_argument(
        "--prices",
        metavar="FILE",
        type=Path,
        default=PRICES_FILE,
        help="the price file [default: deploy/gcp/prices.yaml]",
    )
    return words.parse_args(arguments)


def number(text: str) -> float:
    """Return the option's value. Raises ValueError, which argparse reports."""
    found = float(text)
    if not 0 <= found < 1e15:
        raise ValueError(text)
    return found
