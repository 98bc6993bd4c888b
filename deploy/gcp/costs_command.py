"""`hookchain costs`: what so many events use on Google Cloud, and what that costs at the prices you filled in."""

import argparse
import os
import sys
from pathlib import Path

from deploy.cli import parser
from deploy.commands.frame.ending import DONE, CannotTell, ended
from deploy.commands.terminal.tables import Column, screen_of, table
from deploy.gcp.usage import MILLION, PRICES_FILE, PricesFault, Row, amount_text, read_prices, read_usage, rows


def main(arguments: list[str]) -> int:
    return ended("costs", lambda: _run(_options(arguments)))


def _run(options: argparse.Namespace) -> int:
    try:
        currency, prices = read_prices(options.prices)
    except PricesFault as fault:
        raise CannotTell(str(fault)) from fault
    used = rows(read_usage(), options.events)
    screen = screen_of(sys.stdout, os.environ)
    columns = [Column(f"{options.events:,.0f} EVENTS"), Column("USE"), Column(currency or "COST")]
    print(table(columns, [(row.what, amount_text(row), _cost_text(row, prices)) for row in used], screen))
    missing = [row.price for row in used if row.price not in prices]
    total = sum(_cost(row, prices) for row in used)
    if len(missing) < len(used):
        print(f"\nin all {total:,.2f} {currency}{', without what has no price' if missing else ''}")
    if missing:
        print(f"\nNo price in {options.prices}: {', '.join(missing)}")
    return DONE


def _cost(row: Row, prices: dict[str, float]) -> float:
    return row.amount / row.per * prices.get(row.price, 0.0)


def _cost_text(row: Row, prices: dict[str, float]) -> str:
    return f"{_cost(row, prices):,.2f}" if row.price in prices else "?"


def _options(arguments: list[str]) -> argparse.Namespace:
    words = parser("costs", "Measured: one route, one mail. The page deploy/gcp/README.md says how.")
    words.add_argument("--events", type=float, default=MILLION, help="how many (default: a million)")
    words.add_argument(
        "--prices", metavar="FILE", type=Path, default=PRICES_FILE, help="default: deploy/gcp/prices.yaml"
    )
    return words.parse_args(arguments)
