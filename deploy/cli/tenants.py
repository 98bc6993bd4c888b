"""`hookchain tenants` and `portal-link`: the operator's own users, and the links with which they manage endpoints."""

import argparse
import sys
from typing import Final, get_args

from deploy.cli import subscribers
from deploy.cli.command import DONE, NOT_DONE, add_limit, duration_option
from deploy.client.hookchain.subscribers_types import Capability
from deploy.subscribers.imports import find_tenant, import_tenant, set_tenant, tenant_rows
from deploy.terminal.command_line import CommandError, UsageError
from deploy.terminal.output import Column, count_of, print_json, printable
from shared.jsontext import JsonObject

LISTED: Final = 100
"""The number of tenants that `list` prints without --limit."""
COLUMNS: Final = (Column("TENANT"), Column("NAME", 12), Column("EMAIL", 12), Column("CREATED"))


def main(arguments: list[str]) -> int:
    return subscribers.run_action("tenants", ACTIONS, arguments)


def _add_list(command: argparse.ArgumentParser) -> None:
    add_limit(command, LISTED)


def _list(call: subscribers.Call) -> int:
    """Print the first `--limit` tenants, and say so if there are more."""
    limit: int = call.options.limit
    with call.api() as api:
        found: list[JsonObject] = []
        page_size = min(limit + 1, 100)  # the API's largest page; the one tenant more tells whether any are left
        for each in api.client().list_tenants(limit=page_size):
            if len(found) == limit:
                print(f"These are the first {limit}. Use --limit to see more.", file=sys.stderr)
                break
            found.append(subscribers.document_of(each))
    return subscribers.print_items(call, found, "tenant", COLUMNS, _row)


def _row(tenant: JsonObject) -> tuple[str, ...]:
    return str(tenant["id"]), str(tenant["name"]), str(tenant["email"]), str(tenant["created_at"])[:19] + "Z"


def _add_tenant(command: argparse.ArgumentParser) -> None:
    command.add_argument("tenant", metavar="TENANT", help="name the tenant by your own id")


def _show(call: subscribers.Call) -> int:
    """Print a tenant and how many endpoints it has, or with `--json` their ids."""
    with call.api() as api:
        client = api.client()
        tenant = client.get_tenant(call.options.tenant)
        endpoints = list(client.list_endpoints(call.options.tenant))
    if call.options.json:
        print_json({**subscribers.document_of(tenant), "endpoints": [each["id"] for each in endpoints]})
        return DONE
    disabled = sum(not each["enabled"] for each in endpoints)
    failing = sum(each["enabled"] and each["failing_since"] is not None for each in endpoints)
    states = [text for count, text in ((disabled, f"{disabled} disabled"), (failing, f"{failing} failing")) if count]
    note = f" ({', '.join(states)})" if states else ""
    facts = {
        "name": tenant["name"],
        "email": tenant["email"],
        **{f"metadata.{key}": value for key, value in tenant["metadata"].items()},
        "created": tenant["created_at"],
        "endpoints": f"{len(endpoints)}{note}",
    }
    subscribers.print_facts(call, f"Tenant {tenant['id']}", facts)
    if endpoints:
        print(f"\nhookchain endpoints list {tenant['id']}{call.where}")
    return DONE


def _add_set(command: argparse.ArgumentParser) -> None:
    _add_tenant(command)
    command.add_argument("--name", metavar="TEXT", help="set the name that you know the tenant by")
    command.add_argument(
        "--email", metavar="ADDRESS", help="set the address that gets a mail when an endpoint is disabled"
    )
    command.add_argument(
        "--metadata",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="set an entry of the metadata, or remove it with an empty value; repeatable",
    )


def _set(call: subscribers.Call) -> int:
    """Create the tenant or change what the options name, and print which of the two was done. Return DONE.

    An option that is left out changes nothing. Raises UsageError and SubscribersError.
    """
    options = call.options
    metadata = {}
    for text in options.metadata:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise UsageError(f"--metadata: must be KEY=VALUE; got {text!r}")
        metadata[key] = value
    with call.api() as api:
        outcome, tenant = set_tenant(api.client(), options.tenant, options.name, options.email, metadata)
    document = {"outcome": outcome, **subscribers.document_of(tenant)}
    return subscribers.print_result(call, document, f"{printable(tenant['id'])}: {outcome}")


def _add_delete(command: argparse.ArgumentParser) -> None:
    _add_tenant(command)
    subscribers.add_yes(command)


def _delete(call: subscribers.Call) -> int:
    """Delete the tenant with its endpoints. Without --yes, print what would be deleted.

    Return NOT_DONE if the tenant exists afterwards, as when somebody creates it again. Raises CommandError if it does
    not exist before.
    """
    options = call.options
    is_left = False
    with call.api() as api:
        client = api.client()
        if find_tenant(client, options.tenant) is None:
            raise CommandError(f"there is no tenant {options.tenant!r}")
        count = len(list(client.list_endpoints(options.tenant)))
        if options.yes:
            client.delete_tenant(options.tenant)
            is_left = find_tenant(client, options.tenant) is not None
    document: JsonObject = {"dry_run": not options.yes, "tenant": options.tenant, "endpoints": count}
    text = subscribers.deletion_text(call, printable(options.tenant), f", with {count_of(count, 'endpoint')}")
    subscribers.print_result(call, document, text)
    return NOT_DONE if is_left else DONE


def _import(call: subscribers.Call) -> int:
    """Create or change the tenants of a CSV file with `--yes`; else print what would change."""
    return subscribers.run_import(call, "tenant", tenant_rows, lambda _: import_tenant)


ACTIONS: Final = {
    "list": subscribers.Action(_add_list, _list),
    "show": subscribers.Action(_add_tenant, _show),
    "set": subscribers.Action(_add_set, _set),
    "delete": subscribers.Action(_add_delete, _delete),
    "import": subscribers.Action(subscribers.add_csv_file, _import),
}


# Portal links


CAPABILITIES: Final = get_args(Capability)
DEFAULT_CAPABILITIES: Final = ("view", "manage", "resend")


def portal_link(arguments: list[str]) -> int:
    """Run `hookchain portal-link`."""
    action = subscribers.Action(_add_link_arguments, _print_link, {"--revoke": ("--capabilities", "--expires")})
    return subscribers.run_call("portal-link", action, arguments)


def _add_link_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("tenant", metavar="TENANT", help="name the tenant by your own id")
    command.add_argument(
        "--capabilities",
        metavar="LIST",
        type=_capabilities,
        default=DEFAULT_CAPABILITIES,
        help=f"set what the link allows, separated by commas [{','.join(DEFAULT_CAPABILITIES)}]",
    )
    command.add_argument(
        "--expires",
        metavar="TIME",
        type=duration_option("1m", "7d"),
        default=3600,
        help="set how long the link is valid, at most 7d [1h]",
    )
    command.add_argument("--revoke", action="store_true", help="make all links of the tenant invalid, and print none")


def _capabilities(text: str) -> tuple[str, ...]:
    """Return the capabilities in a list with commas. Raises ArgumentTypeError."""
    names = tuple(name.strip().replace("-", "_") for name in text.split(",") if name.strip())
    if unknown := [name for name in names if name not in CAPABILITIES]:
        raise argparse.ArgumentTypeError(f"must be of {', '.join(CAPABILITIES)}; got {unknown[0]!r}")
    return names


def _print_link(call: subscribers.Call) -> int:
    """Print the URL of a new link; with `--revoke`, end all links of the tenant instead."""
    options = call.options
    base_url = "" if call.settings.public_url or options.revoke else call.platform.subscribe_url()
    with call.api(base_url=base_url) as api:
        client = api.client()
        if options.revoke:
            client.revoke_sessions(options.tenant)
            text = f"{options.tenant}: all existing portal links are now invalid"
            return subscribers.print_result(call, {"tenant": options.tenant, "revoked": True}, text)
        made = client.create_token(options.tenant, capabilities=options.capabilities, expires_in=int(options.expires))
    document: JsonObject = {"url": made["url"], "session": made["session"], "expires_at": made["expires_at"]}
    return subscribers.print_result(call, document, made["url"])
