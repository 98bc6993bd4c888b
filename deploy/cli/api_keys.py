"""`hookchain api-keys`: create, list, rotate and delete keys of the API for subscribers."""

import argparse
from typing import Final, get_args

from deploy.cli import subscribers
from deploy.client.hookchain.subscribers_types import Scope
from deploy.terminal import command_line, output
from shared.jsontext import JsonObject, texts_at

COLUMNS: Final = (
    output.Column("KEY"),
    output.Column("SCOPES"),
    output.Column("CREATED"),
    output.Column("STATE"),
    output.Column("DESCRIPTION", 12, is_whole_in_pipe=True),
)


def main(arguments: list[str]) -> int:
    return subscribers.run_action("api-keys", ACTIONS, arguments)


def _add_create(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--scope", choices=get_args(Scope), action="append", required=True, help="allow this; repeatable"
    )
    command.add_argument("--description", metavar="TEXT", default="", help="say what the key is for")


def _create(call: subscribers.Call) -> int:
    """Print the new key, which cannot be read again. Return DONE."""
    with call.api() as api:
        made = api.client().create_key(scopes=call.options.scope, description=call.options.description)
    return subscribers.print_result(call, subscribers.document_of(made), made["key"])


def _no_arguments(_: argparse.ArgumentParser) -> None:
    pass


def _list(call: subscribers.Call) -> int:
    """Print the keys, without their secret parts. Return DONE."""
    with call.api() as api:
        found = [subscribers.document_of(each) for each in api.client().list_keys()]
    return subscribers.print_items(call, found, "API key", COLUMNS, _row)


def _row(key: JsonObject) -> tuple[str, ...]:
    listed = " ".join(texts_at(key, "scopes"))
    state = "rotated: the previous key is still valid" if key["rotated"] else ""
    return str(key["id"]), listed, str(key["created_at"])[:19] + "Z", state, str(key["description"])


def _add_id(command: argparse.ArgumentParser) -> None:
    command.add_argument("id", metavar="ID", help="name the key: the 12 characters after hck_")


def _rotate(call: subscribers.Call) -> int:
    """Print the new value of the key, which cannot be read again. The previous one stays valid for a while."""
    with call.api() as api:
        made = api.client().rotate_key(call.options.id)
    return subscribers.print_result(call, subscribers.document_of(made), made["key"])


def _add_delete(command: argparse.ArgumentParser) -> None:
    _add_id(command)
    subscribers.add_yes(command)


def _delete(call: subscribers.Call) -> int:
    """Delete the key. Without --yes, print what would be deleted. Raises CommandError if there is no such key."""
    options = call.options
    with call.api() as api:
        client = api.client()
        found = next((each for each in client.list_keys() if each["id"] == options.id), None)
        if found is None:
            raise command_line.CommandError(f"there is no API key {options.id!r}; `hookchain api-keys list` lists them")
        if options.yes:
            client.delete_key(options.id)
    document = {"dry_run": not options.yes, **subscribers.document_of(found)}
    validity = " and no longer valid" if options.yes else ""
    purpose = f": {output.printable(found['description'])}" if found["description"] else ""
    return subscribers.print_result(call, document, subscribers.deletion_text(call, options.id, validity + purpose))


ACTIONS: Final = {
    "create": subscribers.Action(_add_create, _create),
    "list": subscribers.Action(_no_arguments, _list),
    "rotate": subscribers.Action(_add_id, _rotate),
    "delete": subscribers.Action(_add_delete, _delete),
}
