"""Faults of `subscribers` and of the destinations that deliver to them, as far as their types do not show them."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import BaseModel

from deploy.config.checks.model_faults import fault_at, names_in, unknown_names
from deploy.config.compiling.event_types import EventTypes
from deploy.config.config_file import ConfigFile
from deploy.config.faults import Fault
from deploy.config.models.destination import DestinationConfig
from shared.jsontext import Json, JsonObject, to_json

SECTION: Final = "subscribers"
KIND: Final = "subscribers"
TENANT_ADDRESS: Final = "data.email"
"""The place of the tenant's address in an operational event."""
_TYPE: Final = re.compile(r"{{-?\s*type\b")
_NOT_FOR_ENDPOINTS: Final = ("coalesce", "per")


def subscribers_faults(
    file: ConfigFile, document: JsonObject, settings: Mapping[str, BaseModel], types: EventTypes
) -> Iterator[Fault]:
    """Yield the faults. `settings` has those of each destination without faults."""
    destinations = _object(document.get("destinations"))
    named = [name for name, each in destinations.items() if KIND in _object(each)]
    for name in named:
        for option in _NOT_FOR_ENDPOINTS:
            if option in _object(destinations[name]):
                rule = "must not be combined with `subscribers`, each of whose endpoints is a destination of its own"
                yield fault_at(file, ("destinations", name, option), f"{rule}. Remove it")
    if SECTION not in document:
        rule = "must have the section `subscribers` in the file, with the API and the portal; got none"
        yield from (fault_at(file, ("destinations", name, KIND), f"{rule}. Add `subscribers: {{}}`") for name in named)
        return
    if not named:
        rule = "must have a destination of the kind `subscribers`, through which events reach them; got none"
        yield fault_at(file, (SECTION,), f"{rule}. Add `customers: {{subscribers: {{tenant: data.accountId}}}}`")
    yield from types.faults
    tell = _object(_object(document[SECTION]).get("tell"))
    for key in ("operator", "owners"):
        known = names_in(document, "destinations")
        yield from unknown_names(file, (SECTION, "tell", key), tell.get(key), known, "destination")
    yield from _unfit(file, destinations, settings, tell)


def subscribers_warnings(file: ConfigFile) -> Iterator[Fault]:
    """Yield warnings about what is seldom meant. The configuration has no faults."""
    document = _object(file.document)
    section = _object(document.get(SECTION))
    operator = str(_object(section.get("tell")).get("operator"))
    webhook = _object(_object(_object(document.get("destinations")).get(operator)).get("webhook"))
    if webhook and not str(webhook.get("format")).startswith("cloudevents") and not _TYPE.search(to_json(webhook)):
        rule = f"{operator!r} sends the data of each event without its type, such as `endpoint.disabled`"
        act = 'Set `format: cloudevents`, or `headers: {X-Event: "{{ type }}"}`'
        yield fault_at(file, (SECTION, "tell", "operator"), f"{rule}. {act}")
    if section.get("allow_private") is True:
        rule = "lets your users reach private addresses of your network, and the metadata of your cloud"
        act = "Remove it, unless you trust them all; `hookchain dev` allows endpoints on this machine by itself"
        yield fault_at(file, (SECTION, "allow_private"), f"{rule}. {act}")
    if section.get("allow_http") is True:
        rule = "lets events travel to your users unencrypted; remove it if all their endpoints have https://"
        yield fault_at(file, (SECTION, "allow_http"), rule)


def owners_destination(document: Json) -> str | None:
    """Return the destination that mails tenants: its recipient is the tenant's address, not a person in `people`."""
    tell = _object(_object(_object(document).get(SECTION)).get("tell"))
    return str(tell["owners"]) if isinstance(tell.get("owners"), str) else None


def _unfit(
    file: ConfigFile, destinations: JsonObject, settings: Mapping[str, BaseModel], tell: JsonObject
) -> Iterator[Fault]:
    operator, owners = str(tell.get("operator")), str(tell.get("owners"))
    at = (SECTION, "tell", "operator")
    if KIND in _object(destinations.get(operator)):
        rule = "must not be a destination of the kind `subscribers`, whose endpoints the events are about"
        yield fault_at(file, at, f"{rule}; got {operator!r}. Name another destination")
    recipient = getattr(settings.get(operator), "recipient", None)
    if isinstance(recipient, dict) and recipient.get("path"):
        rule = "must not take its recipient from each event, because an operational event names no person"
        yield fault_at(file, at, f"{rule}; got {operator!r}. Write the recipients out")
    written = _object(destinations.get(owners))
    if kinds := [key for key in written if key not in DestinationConfig.model_fields and key != "email"]:
        rule = "must be an `email` destination, because a tenant has a mail address"
        yield fault_at(file, (SECTION, "tell", "owners"), f"{rule}; got {owners!r} of the kind {kinds[0]!r}")
    elif owners in settings and getattr(settings[owners], "to", None) != [TENANT_ADDRESS]:
        rule = f"must be `{TENANT_ADDRESS}`, because this destination mails the tenant whose endpoint was disabled"
        yield fault_at(file, ("destinations", owners, "email", "to"), rule)


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
