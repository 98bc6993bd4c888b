"""`hookchain event-types`: list, show, import, export and document the types of events that tenants subscribe to."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.cli import subscribers
from deploy.cli.command import DONE, NOT_DONE, report
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import BOLD, Column, count_of, print_json, printable
from shared import errors, limits
from shared.formats.parse import parse_as
from shared.jsontext import Json, JsonObject
from shared.subscribers import catalogue_document, model, standalone_schema
from shared.subscribers.catalogue_page import catalogue_page
from shared.subscribers.openapi_webhooks import openapi_document

LIMITS: Final = limits.Limits(max_body_bytes=64 * limits.MIB, max_decoded_bytes=64 * limits.MIB, max_nodes=2_000_000)
"""Those of a file to import: larger than a request of the API, because a catalogue is sent in several."""
COLUMNS: Final = (
    Column("EVENT TYPE"),
    Column("GROUP", 8),
    Column("FROM"),
    Column("DESCRIPTION", 20, max_width=80, is_whole_in_pipe=True),
)
"""The columns of a list."""
FORMATS: Final = ("openapi", "json-schema", "configuration")
"""The formats of an export. The first is the default; the last one is a catalogue that `import` reads."""
PAGE: Final = "index.html"
"""The name of the page in the folder that `docs` writes."""
AT_ONCE: Final = 100
"""The most event types in one request of an import, which the API limits by its size."""


def main(arguments: list[str]) -> int:
    return subscribers.run_action("event-types", ACTIONS, arguments)


def _add_list(command: argparse.ArgumentParser) -> None:
    command.add_argument("--group", metavar="TEXT", default="", help="list the event types of this group only")


def _list(call: subscribers.Call) -> int:
    """Print the event types, of one group if --group names it. Return DONE."""
    with call.api() as api:
        found = [subscribers.document_of(each) for each in api.client().list_event_types(group=call.options.group)]
    return subscribers.print_items(call, found, "event type", COLUMNS, _row)


def _row(event_type: JsonObject) -> tuple[str, ...]:
    mark = "deprecated: " if event_type["deprecated"] else ""
    first = str(event_type["description"]).partition("\n")[0]
    return str(event_type["name"]), str(event_type["group"]), str(event_type["source"]), mark + first


def _add_name(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="name the event type, such as order.paid")


def _show(call: subscribers.Call) -> int:
    """Print the event type with its description, its schema and its examples. Return DONE."""
    with call.api() as api:
        found = api.client().get_event_type(call.options.name)
    if call.options.json:
        print_json(subscribers.document_of(found))
        return DONE
    mark = " (deprecated)" if found["deprecated"] else ""
    facts = {"from": found["source"], "group": found["group"]}
    subscribers.print_facts(call, f"Event type {found['name']}{mark}", facts)
    for title, text in (
        ("", found["description"]),
        ("Schema", _pretty(found["schema"]) if found["schema"] else ""),
        *((f"Example {number}", _pretty(each)) for number, each in enumerate(found["examples"], 1)),
    ):
        if text:
            print("")
            if title:
                print(call.screen.coloured(title, BOLD))
            print("\n".join(f"  {printable(line)}" for line in text.split("\n")))
    return DONE


def _pretty(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _add_import(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", type=Path, help="read this file")
    subscribers.add_yes(command)


def _import(call: subscribers.Call) -> int:
    """Import a catalogue. Without --yes, print what would be imported. Return NOT_DONE if the file has faults.

    Even with --yes, all requests are verified before the first one that writes. Raises CommandError and
    SubscribersError.
    """
    path: Path = call.options.file
    try:
        types = catalogue_document.read_catalogue(_parsed(path), path.stem)
    except standalone_schema.CatalogueFaults as found:
        for fault in found.faults:
            report("event-types import", f"{path}: {fault}")
        print("Nothing was imported.", file=sys.stderr)
        return NOT_DONE
    outcomes = _send_all(call, types, is_dry=True)
    if call.options.yes:
        outcomes = _send_all(call, types, is_dry=False)
    _print_import(call, outcomes)
    return DONE


def _send_all(call: subscribers.Call, types: Sequence[model.EventType], *, is_dry: bool) -> dict[str, list[Json]]:
    """Send the types to the API, AT_ONCE in a request. Return the names by what the API did, or if dry would do."""
    outcomes: dict[str, list[Json]] = {"created": [], "updated": [], "unchanged": []}
    with call.api() as api:
        for begin in range(0, len(types), AT_ONCE):
            document = catalogue_document.catalogue_document(types[begin : begin + AT_ONCE])
            done = api.client().import_event_types(document=document, dry_run=is_dry)
            outcomes["created"] += done["created"]
            outcomes["updated"] += done["updated"]
            outcomes["unchanged"] += done["unchanged"]
    return outcomes


def _parsed(path: Path) -> Json:
    """Return the document in the file: JSON if its name ends with .json or it begins with `{` or `[`, else YAML.

    Raises CommandError and OSError.
    """
    try:
        content = subscribers.read_file(path)
        format_name = "json" if path.suffix == ".json" or content.lstrip()[:1] in (b"{", b"[") else "yaml"
        return parse_as(format_name, content, None, LIMITS).data
    except errors.Rejected as fault:
        raise CommandError(f"{path}: {fault.detail}") from fault


def _print_import(call: subscribers.Call, outcomes: dict[str, list[Json]]) -> None:
    """Print what was imported, or without --yes would be. `outcomes` are the names by outcome."""
    if call.options.json:
        print_json({"dry_run": not call.options.yes, **outcomes})
        return
    verb = "" if call.options.yes else "would be "
    for outcome in ("created", "updated"):
        for name in outcomes[outcome]:
            print(f"{printable(str(name))}: {verb}{outcome}")
    count = count_of(sum(map(len, outcomes.values())), "event type")
    created, updated, unchanged = (len(outcomes[each]) for each in ("created", "updated", "unchanged"))
    print(f"{count}: {created} {verb}created, {updated} {verb}updated, {unchanged} unchanged")
    if not call.options.yes and (outcomes["created"] or outcomes["updated"]):
        print("Nothing was changed. Add --yes to import.")


def _add_export(command: argparse.ArgumentParser) -> None:
    command.add_argument("--format", choices=FORMATS, default=FORMATS[0], help=f"choose the format [{FORMATS[0]}]")
    command.add_argument("--out", metavar="FILE", type=Path, help="write this file [standard output]")


def _export(call: subscribers.Call) -> int:
    """Write all event types in one format to --out, or print them. Return DONE. Raises OSError."""
    types = _all(call)
    settings = call.settings
    if call.options.format == "openapi":
        document = openapi_document(types, settings.portal_name, payload=settings.payload)
    elif call.options.format == "json-schema":
        document = catalogue_document.json_schema_document(types)
    else:
        document = catalogue_document.catalogue_document(types)
    if call.options.out is None:
        print_json(document)
    else:
        _write(call.options.out, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        print(f"{call.options.out}: {count_of(len(types), 'event type')}")
    return DONE


def _add_docs(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="write the page into this folder")


def _docs(call: subscribers.Call) -> int:
    """Write a page about all event types, and their OpenAPI document, into the folder --out. Return DONE.

    Existing files are overwritten. Raises OSError.
    """
    types = _all(call)
    settings = call.settings
    page = catalogue_page(types, settings.portal_name, settings.payload, settings.portal_logo)
    openapi = openapi_document(types, settings.portal_name, payload=settings.payload)
    folder: Path = call.options.out
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / PAGE, page)
    _write(folder / "openapi.json", json.dumps(openapi, indent=2) + "\n")
    document: JsonObject = {"files": [str(folder / PAGE), str(folder / "openapi.json")], "event_types": len(types)}
    text = f"{folder / PAGE} and openapi.json: {count_of(len(types), 'event type')}"
    return subscribers.print_result(call, document, f"{text}. You can publish the folder unchanged.")


def _all(call: subscribers.Call) -> Sequence[model.EventType]:
    """Return all event types, as the documents about them need them."""
    with call.api() as api:
        listed = list(api.client().list_event_types())
    return [
        model.EventType(
            name=each["name"],
            description=each["description"],
            group=each["group"],
            schema_=each["schema"],
            examples=tuple(each["examples"]),
            is_deprecated=each["deprecated"],
        )
        for each in listed
    ]


def _write(path: Path, text: str) -> None:
    """Write the text. A lone surrogate, which UTF-8 cannot encode, is written as an escape."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


ACTIONS: Final = {
    "list": subscribers.Action(_add_list, _list),
    "show": subscribers.Action(_add_name, _show),
    "import": subscribers.Action(_add_import, _import),
    "export": subscribers.Action(_add_export, _export),
    "docs": subscribers.Action(_add_docs, _docs),
}
