"""One entry of the catalogue, for a person who is about to set it up."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from deploy.config.auth_descriptions import short_proofs, way_words
from deploy.config.catalogue import Catalogue
from deploy.config.catalogue_source import (
    is_fetched_key,
    needs_secret,
    own_url,
    secret_line,
    secret_name_of,
    source_block,
    source_name_of,
)
from deploy.config.checks.sources import names_events
from deploy.config.models.provider import SOURCES_SECRET, Handshake, ProviderEntry, RepeatingBody
from deploy.terminal.printing import count_of
from deploy.terminal.tables import BOLD, DIM, YELLOW, Column, Screen, table
from shared.jsontext import Json, JsonObject

_INDENT: Final = "  "
_WIDTH: Final = 100
_KNOWN_FROM: Final = {
    "provider": "the provider's own documentation, specification or code",
    "library": "a third party's library or tests",
    "notes": "secondary notes",
}
PROVEN: Final = {
    "vectors": "genuine requests, published",
    "library": "requests signed by the provider's own or an independent library",
    "restated": "requests signed in a test by code of its own, written from the facts",
    "nothing": "there is no signature to try",
}


def entry_text(key: str, entry: ProviderEntry, screen: Screen) -> Iterator[str]:
    """Lines."""
    yield screen.coloured(entry.name, BOLD) + screen.coloured(f"  provider: {key}", DIM)
    yield from _section("Set it up", [*_setup(key, entry, screen)], screen)
    yield from _section("How it proves itself", _named({_way_name(n, entry): w for n, w in _ways(entry)}), screen)
    yield from _section("What its events have", _named(_fields(entry)), screen)
    yield from _section("What makes two requests one event", [*_identity(entry)], screen)
    yield from _section("The answer that it takes", _wrapped(_answer(entry)), screen)
    yield from _section("Handshakes", [line for one in entry.handshakes for line in _handshake(one)], screen)
    yield from _section("Mind", [line for note in entry.notes for line in _wrapped(note, "- ")], screen)
    yield from _section("How sure this is", [*_evidence(entry, screen)], screen)


def _setup(key: str, entry: ProviderEntry, screen: Screen) -> Iterator[str]:
    yield from _wrapped(entry.setup or "")
    yield from ("", *(f"{_INDENT}{line}" for line in source_block(key, entry)), "")
    if needs_secret(entry):
        yield f"secret   {secret_line(key)}"
    yield f"URL      {own_url(key, entry, 'https://<your receive URL>')}"
    how = "--break signature   (a right one only the provider can sign)" if is_fetched_key(entry) else ""
    yield f"try it   hookchain trigger {key} {how}".rstrip() + screen.coloured("   while `make dev` runs", DIM)


def _ways(entry: ProviderEntry) -> Iterator[tuple[int, str]]:
    for number, offered in enumerate(entry.auth):
        yield number, way_words(offered)


def _way_name(number: int, entry: ProviderEntry) -> str:
    return entry.auth[number].way.model_dump().get("variant") or f"way {number + 1}"


def _fields(entry: ProviderEntry) -> dict[str, str]:
    event = entry.event
    places = {
        "type": event.type,
        "id": event.id,
        "subject": event.subject,
        "actor": event.actor,
        "time": event.time,
        "sent as": [" or ".join(entry.formats)] if entry.formats else None,
        "one event each": [event.batch] if event.batch else None,
        "the body is in": [event.unpack] if event.unpack else None,
    }
    return {name: ", else ".join(texts) for name, texts in places.items() if texts}


def _identity(entry: ProviderEntry) -> Iterator[str]:
    """For a provider that signs, where its delivery id is not signed."""
    is_named = names_events(entry)
    if is_named is None or is_named:
        return
    repeats = entry.event.repeats or []
    if all(each.when for each in repeats):
        unsigned = f": the delivery id ({', else '.join(entry.event.id)}) is not signed" if entry.event.id else ""
        yield from _wrapped(f"The same signed bytes are one event, under any header{unsigned}.")
    if not repeats:
        return
    yield from _wrapped(f"Different events with the same body, so the delivery id counts: {_listed(repeats)}.")
    yield from _wrapped(
        "Risk: whoever has captured such a request can send it again under another delivery id, and it has its effect"
        " again. `dedupe: signed` on the source prevents that, and drops repeats that were meant."
        " `dedupe: delivery_id` goes by the delivery id for all events.",
    )


def _listed(repeats: Sequence[RepeatingBody]) -> str:
    return ", ".join(each.event for each in repeats)


def _answer(entry: ProviderEntry) -> str:
    answer = entry.answer
    parts = [
        f"takes {answer.success}" if answer.success else "",
        f"within {answer.within:g} s" if answer.within else "",
        f"it is answered {answer.status}" if answer.status else "",
        f"with the body {answer.body!r}" if answer.body else "",
        f"tries again: {answer.retries}" if answer.retries else "",
    ]
    return ", ".join(filter(None, parts))


def _handshake(one: Handshake) -> list[str]:
    when = " and ".join(f"{place} is {_wanted(value)}" for place, value in one.when.items())
    told = f"{one.name}: {one.method}" + (f" where {when}" if when else "")
    told += ", signed" if one.signed else ""
    return _wrapped(told + (f". {one.note}" if one.note else ""), "- ")


def _wanted(value: str | bool) -> str:
    return {True: "there", False: "not there"}[value] if isinstance(value, bool) else repr(value)


def _evidence(entry: ProviderEntry, screen: Screen) -> Iterator[str]:
    detail = f" ({entry.proven.detail})" if entry.proven.detail else ""
    yield from _wrapped(f"Tried with {PROVEN[entry.proven.by]}{detail}.")
    for group, source in entry.known_from.items():
        yield from _wrapped(f"{group}: from {_KNOWN_FROM[source]}")
    for unknown in _of_unknown_origin(entry):
        yield screen.coloured(f"{unknown}: where this is from is not on record: take it as not confirmed", YELLOW)
    for what in entry.unverified:
        yield screen.coloured(f"not confirmed by anybody else: {what}", YELLOW)
    yield from _wrapped(f"read: {', '.join(entry.sources)}")


def _of_unknown_origin(entry: ProviderEntry) -> list[str]:
    """Groups of facts that the entry has, and does not say where they are from."""
    has = {
        "event": bool(_fields(entry)),
        "handshakes": bool(entry.handshakes),
        "answer": bool(entry.answer.model_fields_set),
    }
    return [group for group, is_there in has.items() if is_there and group not in entry.known_from]


def _section(title: str, lines: Sequence[str], screen: Screen) -> list[str]:
    return ["", screen.coloured(title, BOLD), *(f"{_INDENT}{line}".rstrip() for line in lines)] if lines else []


def _named(pairs: dict[str, str]) -> list[str]:
    width = max(map(len, pairs), default=0)
    return [line for name, text in pairs.items() for line in _wrapped(text, f"{name.ljust(width)}  ")]


def _wrapped(text: str, first: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first))


def matching(catalogue: Catalogue, text: str | None) -> Catalogue:
    if text is None:
        return catalogue
    wanted = text.casefold()
    return {key: entry for key, entry in catalogue.items() if wanted in _searched(key, entry)}


def _searched(key: str, entry: ProviderEntry) -> str:
    words = [key, entry.name, entry.setup or "", *entry.notes, *short_proofs(entry), *_handshakes(entry)]
    return "\n".join(words).casefold()


def listing(catalogue: Catalogue, screen: Screen) -> str:
    columns = [
        Column("KEY"),
        Column("PROVIDER", 12),
        Column("PROOF", 12),
        Column("HANDSHAKE", 9, lambda _: DIM),
        Column("PROVEN", None, lambda text: YELLOW if text == "nothing" else ""),
    ]
    rows = [_row(key, entry) for key, entry in catalogue.items()]
    more = f"{count_of(len(rows), 'provider')}. `hookchain providers KEY` says how to set one up."
    return f"{table(columns, rows, screen)}\n\n{more}"


def _row(key: str, entry: ProviderEntry) -> tuple[str, ...]:
    proofs = ", ".join(dict.fromkeys(short_proofs(entry))) or "none of its own"
    return key, entry.name, proofs, ", ".join(_handshakes(entry)), entry.proven.by


def _handshakes(entry: ProviderEntry) -> list[str]:
    return [handshake.name for handshake in entry.handshakes]


def entry_document(key: str, entry: ProviderEntry) -> JsonObject:
    written: JsonObject = entry.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"auth"})
    ways: list[Json] = [{**_way(offered.way.model_dump(mode="json", exclude_none=True))} for offered in entry.auth]
    on_request: list[Json] = [str(o.way.model_dump().get("variant")) for o in entry.auth if o.on_request]
    return {
        "key": key,
        **written,
        "auth": ways,
        "on_request": on_request,
        "source": source_name_of(key),
        "secret": secret_name_of(key) if needs_secret(entry) else None,
        "yaml": "\n".join(["sources:", *(f"  {line}" for line in source_block(key, entry))]) + "\n",
    }


def _way(settings: JsonObject) -> JsonObject:
    return {name: value for name, value in settings.items() if value != SOURCES_SECRET}
