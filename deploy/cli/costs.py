"""`hookchain costs`: estimate what a month of events uses and costs in a cloud.

The platform computes what is used from the deployment's plan and the traffic. The price file says what each use costs.
"""

import argparse
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.cli.command import DONE, number_option, parser, run_command
from deploy.cloud_access import aws, gcp_names
from deploy.config import checkout, compiler, configured
from deploy.platforms.choice import PLATFORMS
from deploy.terminal.command_line import UsageError
from deploy.terminal.output import Column, print_json, stdout_screen, table
from deploy.topology import estimate
from shared.jsontext import Json, JsonObject, mapping_at

PLATFORMS_WITH_COSTS: Final = ("gcp", "aws")
"""The platforms that can be estimated. The first is the default."""


def main(arguments: list[str]) -> int:
    command = parser("costs")
    configured.add_configuration(command)
    titles = " or ".join(PLATFORMS[name].title for name in PLATFORMS_WITH_COSTS)
    default_platform = PLATFORMS_WITH_COSTS[0]
    platform_help = f"choose {titles} [{default_platform}]"
    command.add_argument("--platform", choices=PLATFORMS_WITH_COSTS, default=default_platform, help=platform_help)
    command.add_argument("--region", help="set the region [the region of the plan]")
    amount = number_option(0, 1e15)
    events_help = "set the number of events per month [1000000]"
    command.add_argument("--events", type=amount, default=estimate.MILLION, help=events_help)
    command.add_argument("--endpoints", type=amount, help="set how many subscriber endpoints get each event [1]")
    answer_help = f"set the response time of a destination [{estimate.ANSWER_SECONDS:g}]"
    command.add_argument("--answer-seconds", type=amount, default=estimate.ANSWER_SECONDS, help=answer_help)
    prices_help = "read the prices from this file [deploy/PLATFORM/prices.yaml]"
    command.add_argument("--prices", metavar="FILE", type=Path, help=prices_help)
    command.add_argument("--json", action="store_true", help="print one JSON document: the rows and their total")
    options = command.parse_args(arguments)
    return run_command("costs", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    """Print the estimate and return DONE. Nothing is called in the cloud. Raises CommandError and ConfigFaults."""
    environ = configured.environ_of(options)
    config = checkout.config_to_deploy(options.config, environ)
    if config is None:  # then the costs are those of the configuration that mails every request to this address
        environ.setdefault("EMAIL_ADDRESS", "you@example.com")
    slices = compiler.compile_file(config, environ)
    cost_model = _cost_model(options.platform)
    price_file = options.prices or cost_model.price_file
    region = _region(options, environ)
    all_rows = cost_model.rows(slices, environ, cost_model.read_usage(), _traffic(options, slices))
    prices = estimate.read_prices(price_file, {row.price_name for row in all_rows}, region)
    rows = estimate.rows_in_use(all_rows)
    if options.json:
        print_json(_document(options.events, rows, prices))
    else:
        _print_table(options.events, rows, prices)
        _print_notes(rows, prices, price_file, region)
    return DONE


def _cost_model(platform: str) -> estimate.CostModel:
    """Return the model of the platform, and import only this one, because each imports slow modules of a deployment."""
    if platform == "gcp":
        from deploy.gcp.costs import COSTS as GOOGLE_COSTS

        return GOOGLE_COSTS
    from deploy.aws.costs import COSTS as AWS_COSTS

    return AWS_COSTS


def _traffic(options: argparse.Namespace, slices: Mapping[str, JsonObject]) -> estimate.Traffic:
    """Return the traffic to estimate. Raises UsageError if --endpoints is given without subscribers."""
    has_subscribers = "subscribers" in slices["notify"]
    if options.endpoints is not None and not has_subscribers:
        raise UsageError("--endpoints: has no effect, because the configuration has no `subscribers`")
    endpoints = 0.0
    if has_subscribers:
        endpoints = 1.0 if options.endpoints is None else options.endpoints
    destinations = mapping_at(slices["notify"], "destinations")
    signed_share = estimate.share_of_signed_sources(slices["receive"])
    return estimate.Traffic(options.events, options.answer_seconds, signed_share, len(destinations), endpoints)


def _region(options: argparse.Namespace, environ: Mapping[str, str]) -> str:
    """Return the region of the plan; empty if no setting has one."""
    if options.platform == "gcp":
        return options.region or environ.get("HOOKCHAIN_REGION") or gcp_names.DEFAULT_REGION
    region = options.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if region is None and importlib.util.find_spec("boto3"):
        region = aws.configured_region()  # from the profile, which boto3 reads
    return region or ""


def _total(rows: Sequence[estimate.Row], prices: estimate.PriceList) -> float:
    """Return the sum of the costs, without the rows that have no price."""
    return sum(cost for row in rows if (cost := prices.cost_of(row)) is not None)


def _print_table(events: float, rows: Sequence[estimate.Row], prices: estimate.PriceList) -> None:
    """Print the use of each row, and its cost; `?` without a price."""
    columns = [Column(f"{events:,.0f} EVENTS A MONTH"), Column("USE"), Column(prices.currency or "COST")]
    cells = []
    for row in rows:
        cost = prices.cost_of(row)
        cells.append((row.what, estimate.amount_text(row), "?" if cost is None else f"{cost:,.2f}"))
    print(table(columns, cells, stdout_screen()))


def _print_notes(rows: Sequence[estimate.Row], prices: estimate.PriceList, price_file: Path, region: str) -> None:
    """Print the total, the origin of the prices, and the rows without a price."""
    missing = [row.price_name for row in rows if prices.cost_of(row) is None]
    if len(missing) < len(rows):
        note = ", without the rows that have no price" if missing else ""
        print(f"\nTotal: {_total(rows, prices):,.2f} {prices.currency} a month{note}")
        if prices.origin:
            print(f"Prices: {prices.origin}")
            if region and region not in prices.origin:
                print(
                    f"The region of the plan is {region}, where prices may differ. "
                    f"To use its prices, write them under `regions` in {price_file}."
                )
    if missing:
        print(f"\nNo price in {price_file}: {', '.join(missing)}")


def _document(events: float, rows: Sequence[estimate.Row], prices: estimate.PriceList) -> JsonObject:
    """Return the estimate. `cost` is null for a row without a price, which `total` leaves out."""
    listed: list[Json] = [
        {"what": row.what, "amount": row.amount, "price": row.price_name, "cost": prices.cost_of(row)} for row in rows
    ]
    totals: JsonObject = {"events": events, "currency": prices.currency, "total": _total(rows, prices)}
    return {**totals, "rows": listed}
