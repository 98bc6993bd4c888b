"""`hookchain endpoints`: list, show, disable, enable and import tenants' endpoints."""

import argparse
from collections.abc import Callable, Iterator
from typing import Final

from deploy.cli import subscribers
from deploy.cli.command import DONE
from deploy.client.hookchain.subscribers import Subscribers
from deploy.client.hookchain.subscribers_types import Endpoint
from deploy.subscribers.imports import EndpointImporter, endpoint_rows
from deploy.terminal.command_line import UsageError
from deploy.terminal.output import GREEN, RED, YELLOW, Column, print_json, printable
from shared.jsontext import JsonObject, texts_at, to_json
from shared.subscribers.names import SEPARATOR

_STATE_COLOURS: Final = {"enabled": GREEN, "disabled": RED, "failing": YELLOW, "unverified": YELLOW}
COLUMNS: Final = (
    Column("ENDPOINT"),
    Column("STATE", colour=lambda text: _STATE_COLOURS.get(text.partition(" ")[0], "")),
    Column("URL", 20, is_whole_in_pipe=True),
    Column("TYPES", 8),
)
"""The columns of a list of endpoints. A row's state begins with one of _STATE_COLOURS."""
ENDPOINT_HELP: Final = "name the endpoint as TENANT:ID, or as logs name it, such as customers:acme:ep_…"


def main(arguments: list[str]) -> int:
    return subscribers.run_action("endpoints", ACTIONS, arguments)


def _add_list(command: argparse.ArgumentParser) -> None:
    command.add_argument("tenant", metavar="TENANT", nargs="?", help="list the endpoints of this tenant only")
    command.add_argument("--disabled", action="store_true", help="list disabled endpoints only")
    command.add_argument("--failing", action="store_true", help="list endpoints whose deliveries are failing")


def _list(call: subscribers.Call) -> int:
    """Print the endpoints of one tenant or of all, with --disabled and --failing only those in one of these states."""
    found: list[JsonObject] = []
    with call.api() as api:
        client = api.client()
        tenants = [call.options.tenant] if call.options.tenant else [each["id"] for each in client.list_tenants()]
        for tenant in tenants:
            for endpoint in client.list_endpoints(tenant):
                if _is_wanted(call.options, endpoint):
                    found.append(endpoint_document(tenant, endpoint))
    return subscribers.print_items(call, found, "endpoint", COLUMNS, _row)


def _is_wanted(options: argparse.Namespace, endpoint: Endpoint) -> bool:
    """Return whether the endpoint is listed. With both --disabled and --failing, it may be in either state.

    A disabled endpoint gets nothing, so it does not count as failing.
    """
    if not (options.disabled or options.failing):
        return True
    is_failing = endpoint["enabled"] and endpoint["failing_since"] is not None
    return bool((options.disabled and not endpoint["enabled"]) or (options.failing and is_failing))


def endpoint_document(tenant: str, endpoint: Endpoint) -> JsonObject:
    """Return the endpoint as --json prints it: with its tenant, and without the ETag, which only the API uses."""
    return {"tenant": tenant, **subscribers.document_of(endpoint, "etag")}


def state_of(endpoint: JsonObject) -> str:
    """Return the state for a person. A disabled endpoint may also be unverified or failing, which is not shown."""
    disabled = endpoint["disabled"]
    if isinstance(disabled, dict):
        return f"disabled by {disabled['by']}"
    if not endpoint["verified"]:
        return "unverified"
    return f"failing since {str(endpoint['failing_since'])[:16]}Z" if endpoint["failing_since"] else "enabled"


def _row(endpoint: JsonObject) -> tuple[str, ...]:
    name = f"{endpoint['tenant']}:{endpoint['id']}"
    return name, state_of(endpoint), str(endpoint["url"]), _types_text(endpoint)


def _types_text(endpoint: JsonObject) -> str:
    return " ".join(texts_at(endpoint, "types")) or "all"


def _add_endpoint(command: argparse.ArgumentParser) -> None:
    command.add_argument("endpoint", metavar="ENDPOINT", help=ENDPOINT_HELP)


def parse_endpoint(text: str) -> tuple[str, str]:
    """Return the tenant and the endpoint of `TENANT:ID`, or of the name in a log. Raises UsageError.

    That name is `DESTINATION:TENANT:ID`. The destination is left out: an endpoint's id is unique without it.
    """
    parts = text.split(SEPARATOR)
    if len(parts) not in (2, 3) or not all(parts):
        raise UsageError(f"ENDPOINT: must be TENANT:ID, such as acme:ep_…; got {text!r}")
    return parts[-2], parts[-1]


def _show(call: subscribers.Call) -> int:
    """Print the settings and the state of the endpoint. Return DONE."""
    tenant, name = parse_endpoint(call.options.endpoint)
    with call.api() as api:
        endpoint = endpoint_document(tenant, api.client().get_endpoint(tenant, name))
    if call.options.json:
        print_json(endpoint)
        return DONE
    subscribers.print_facts(call, f"Endpoint {tenant}:{name}", dict(_facts(endpoint)))
    return DONE


def _facts(endpoint: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each fact. An optional setting that is not set is left out."""
    disabled, auth = endpoint["disabled"], endpoint["auth"]
    yield "url", str(endpoint["url"])
    yield "state", state_of(endpoint)
    if isinstance(disabled, dict):
        yield "reason", str(disabled["reason"] or "none given")
        yield "disabled at", str(disabled["at"])
    for key in ("failing_since", "filter_fault", "description", "filter", "rate"):
        if endpoint[key]:
            yield key.replace("_", " "), str(endpoint[key])
    yield "types", _types_text(endpoint)
    if isinstance(auth, dict):
        has_settings = auth["kind"] not in {"standard", "bearer"}
        settings = [f"{key} {value}" for key, value in auth.items() if key != "kind" and value]
        yield "auth", f"{auth['kind']}, {', '.join(settings)}" if has_settings else str(auth["kind"])
    for key in ("headers", "fields"):
        if endpoint[key]:
            yield key, to_json(endpoint[key])
    yield "created", str(endpoint["created_at"])
    yield "updated", str(endpoint["updated_at"])


def _disable(call: subscribers.Call) -> int:
    return _change(call, Subscribers.disable_endpoint, "disabled")


def _enable(call: subscribers.Call) -> int:
    return _change(call, Subscribers.enable_endpoint, "enabled")


def _change(call: subscribers.Call, change: Callable[[Subscribers, str, str], Endpoint], done: str) -> int:
    """Change the endpoint, and print that it is `done`. `change` gets the tenant and the endpoint's id. Return DONE."""
    tenant, name = parse_endpoint(call.options.endpoint)
    with call.api() as api:
        endpoint = endpoint_document(tenant, change(api.client(), tenant, name))
    return subscribers.print_result(call, endpoint, f"{printable(tenant)}:{printable(name)}: {done}")


def _import(call: subscribers.Call) -> int:
    return subscribers.run_import(call, "endpoint", endpoint_rows, EndpointImporter)


ACTIONS: Final = {
    "list": subscribers.Action(_add_list, _list),
    "show": subscribers.Action(_add_endpoint, _show),
    "disable": subscribers.Action(_add_endpoint, _disable),
    "enable": subscribers.Action(_add_endpoint, _enable),
    "import": subscribers.Action(subscribers.add_csv_file, _import),
}
