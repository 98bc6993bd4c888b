"""The catalogue as `hookchain providers` prints it: a table, one provider as text, and one provider as JSON.

A provider is a product that sends webhooks, such as GitHub. Its catalogue entry says how it signs requests, where its
events have their fields, and how that is known. A source of the operator's configuration uses an entry by its key.
"""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from deploy.config.sections.auth import SIGNING_A_TIME, Auth
from deploy.config.sections.catalogue import (
    NO_SECRET,
    SOURCES_SECRET,
    Catalogue,
    Handshake,
    OfferedScheme,
    ProviderEntry,
    chosen_schemes,
    signs_delivery_id,
    signs_url,
)
from deploy.config.sections.provider_event_types import known_event_types
from deploy.hooks.kinds import KINDS
from deploy.terminal.output import BOLD, DIM, YELLOW, Column, Screen, count_of, table
from shared.jsontext import Json, JsonObject
from shared.secrets import variable_name

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
    "restated": "requests signed by separate test code that follows the specification",
    "nothing": "no requests, because the provider does not sign",
}


def entry_text(key: str, entry: ProviderEntry, screen: Screen) -> Iterator[str]:
    """Yield lines for a person who sets up the provider."""
    yield screen.coloured(entry.name, BOLD) + screen.coloured(f"  provider: {key}", DIM)
    yield from _section("Setup", [*_setup(key, entry, screen)], screen)
    yield from _section("Authentication", _aligned(_schemes(entry)), screen)
    yield from _section("Event fields", _aligned(_fields(entry)), screen)
    yield from _section("Duplicates", [*_identity(entry)], screen)
    yield from _section("Reply", _wrapped(_expected_reply(entry)), screen)
    yield from _section("Handshakes", _bullets(map(_handshake, entry.handshakes)), screen)
    yield from _section("Notes", _bullets(entry.notes), screen)
    yield from _section("Evidence", [*_evidence(entry, screen)], screen)
    yield from _section("Event types", [*_event_types(key)], screen)


def _setup(key: str, entry: ProviderEntry, screen: Screen) -> Iterator[str]:
    yield from _wrapped(entry.setup or "")
    yield ""
    for line in source_block(key, entry):
        yield f"{_INDENT}{line}"
    yield ""
    secret = secret_name_of(key)
    if needs_secret(entry):
        yield f"secret   {variable_name(secret)} in .env, or: hookchain secrets set {secret}"
    # The URL of a provider that does not authenticate itself contains a token.
    token = "" if entry.auth else f"/<value of {secret}>"
    yield f"URL      https://<your receive URL>/{source_name_of(key)}{token}"
    if kind := KINDS.get(key):
        place = f", at: {kind.places[0].example}" if kind.places else ""
        yield f"hook     add `hook: {{token: {key}-token{place}}}`, and `hookchain hooks apply` registers the webhook"
    option = "--break signature   (only the provider can sign correctly)" if uses_provider_keys(entry) else ""
    yield f"try it   hookchain trigger {key} {option}".rstrip() + screen.coloured("   while `make dev` is running", DIM)


def _schemes(entry: ProviderEntry) -> dict[str, str]:
    return {
        offered.scheme.variant or f"scheme {number}": "; ".join(_scheme_details(offered))
        for number, offered in enumerate(entry.auth, 1)
    }


def _fields(entry: ProviderEntry) -> dict[str, str]:
    event = entry.event
    locations = {
        "type": event.type,
        "id": event.id,
        "subject": event.subject,
        "actor": event.actor,
        "time": event.time,
        "action": event.action,
        "format": [" or ".join(entry.formats)] if entry.formats else None,
        "batch": [event.batch] if event.batch else None,
        "body in": [event.unpack] if event.unpack else None,
    }
    return {name: ", else ".join(texts) for name, texts in locations.items() if texts}


def _event_types(key: str) -> Iterator[str]:
    known = known_event_types().get(key)
    if known is None:
        return
    for name, actions in known.types.items():
        yield from _wrapped(f"{name}: {', '.join(actions)}" if actions else name)
    yield from _wrapped(f"Read on {known.read_on} from {', '.join(known.sources)}. Newer types can be missing.")


def _identity(entry: ProviderEntry) -> Iterator[str]:
    """Yield which requests count as one event, for a provider that signs requests but not their delivery id.

    Anybody who has seen such a request could send it again with another id, so the signed bytes identify the event,
    except for types of events (`repeats`) whose bodies are the same on purpose.
    """
    if signs_delivery_id(entry) is not False:  # it signs the id too, or it signs nothing
        return
    repeats = entry.event.repeats or []
    has_always_repeats = any(not each.when for each in repeats)
    if not has_always_repeats:
        unsigned = f": the delivery id ({', else '.join(entry.event.id)}) is not signed" if entry.event.id else ""
        yield from _wrapped(f"Requests with the same signed bytes are one event, whatever their headers{unsigned}.")
    if not repeats:
        return
    events = ", ".join(each.event for each in repeats)
    yield from _wrapped(f"Different events of these types can have the same body, so the delivery id counts: {events}.")
    yield from _wrapped(
        "Risk: whoever has captured such a request can send it again with another delivery id, and it is processed"
        " again. `dedupe: signed` on the source prevents that, and also drops intended repeats."
        " `dedupe: delivery_id` uses the delivery id for all events.",
    )


def _expected_reply(entry: ProviderEntry) -> str:
    """Return what the provider expects of our reply, and what it does without one."""
    answer = entry.answer
    facts = [
        f"the provider accepts {answer.success}" if answer.success else "",
        f"within {answer.within:g} s" if answer.within else "",
        f"the reply has the status {answer.status}" if answer.status else "",
        f"the body {answer.body!r}" if answer.body else "",
        f"retries: {answer.retries}" if answer.retries else "",
    ]
    return ", ".join(filter(None, facts))


def _handshake(handshake: Handshake) -> str:
    when = " and ".join(f"{place} is {_expected(value)}" for place, value in handshake.when.items())
    text = f"{handshake.name}: {handshake.method}"
    if when:
        text += f" if {when}"
    if handshake.signed:
        text += ", signed"
    if handshake.note:
        text += f". {handshake.note}"
    return text


def _expected(value: str | bool) -> str:
    """Return the condition on a part of a handshake: its value, or whether it must be there."""
    if isinstance(value, bool):
        return "present" if value else "absent"
    return repr(value)


def _evidence(entry: ProviderEntry, screen: Screen) -> Iterator[str]:
    detail = f" ({entry.proven.detail})" if entry.proven.detail else ""
    yield from _wrapped(f"Tested with {PROVEN[entry.proven.by]}{detail}.")
    for group, source in entry.known_from.items():
        yield from _wrapped(f"{group}: from {_KNOWN_FROM[source]}")
    for unconfirmed in _without_origin(entry):
        yield screen.coloured(f"{unconfirmed}: not confirmed; the origin is not on record", YELLOW)
    for fact in entry.unverified:
        yield screen.coloured(f"not confirmed by a second source: {fact}", YELLOW)
    yield from _wrapped(f"sources: {', '.join(entry.sources)}")


def _without_origin(entry: ProviderEntry) -> list[str]:
    """Return the groups of facts whose origin is not on record."""
    facts = {"event": _fields(entry), "handshakes": entry.handshakes, "answer": entry.answer.model_fields_set}
    return [group for group, stated in facts.items() if stated and group not in entry.known_from]


def _section(title: str, lines: Sequence[str], screen: Screen) -> list[str]:
    return ["", screen.coloured(title, BOLD), *(f"{_INDENT}{line}".rstrip() for line in lines)] if lines else []


def _aligned(texts: dict[str, str]) -> list[str]:
    """Return lines with the names in one column and the texts, wrapped, in another."""
    width = max(map(len, texts), default=0)
    return [line for name, text in texts.items() for line in _wrapped(text, f"{name.ljust(width)}  ")]


def _bullets(texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in _wrapped(text, "- ")]


def _wrapped(text: str, prefix: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=prefix, subsequent_indent=" " * len(prefix))


def matching(catalogue: Catalogue, text: str | None) -> Catalogue:
    """Return the providers whose entry contains the text, in upper or lower case; all of them without a text."""
    if text is None:
        return catalogue
    return {key: entry for key, entry in catalogue.items() if text.casefold() in _searchable_text(key, entry)}


def _searchable_text(key: str, entry: ProviderEntry) -> str:
    texts = [key, entry.name, entry.setup or "", *entry.notes, *scheme_names(entry), *_handshakes(entry)]
    return "\n".join(texts).casefold()


def listing(catalogue: Catalogue, screen: Screen) -> str:
    """Return a table with one provider per line."""
    columns = [
        Column("KEY"),
        Column("PROVIDER", 12),
        Column("AUTH", 12),
        Column("HANDSHAKE", 9, colour=lambda _: DIM),
        Column("PROVEN", colour=lambda text: YELLOW if text == "nothing" else ""),
    ]
    rows = [_row(key, entry) for key, entry in catalogue.items()]
    summary = f"{count_of(len(rows), 'provider')}. `hookchain providers KEY` shows how to set one up."
    return f"{table(columns, rows, screen)}\n\n{summary}"


def _row(key: str, entry: ProviderEntry) -> tuple[str, ...]:
    schemes = ", ".join(dict.fromkeys(scheme_names(entry))) or "none"
    return key, entry.name, schemes, ", ".join(_handshakes(entry)), entry.proven.by


def _handshakes(entry: ProviderEntry) -> list[str]:
    return [handshake.name for handshake in entry.handshakes]


def entry_document(key: str, entry: ProviderEntry) -> JsonObject:
    """Return the entry as JSON, with the source that uses it."""
    written: JsonObject = entry.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"auth"})
    schemes: list[Json] = [_without_secret(offered.scheme) for offered in entry.auth]
    known = known_event_types().get(key)
    on_request: list[Json] = [str(offered.scheme.variant) for offered in entry.auth if offered.on_request]
    return {
        "key": key,
        **written,
        "auth": schemes,
        "on_request": on_request,
        "event_types": {name: [*actions] for name, actions in known.types.items()} if known else None,
        "source": source_name_of(key),
        "secret": secret_name_of(key) if needs_secret(entry) else None,
        "yaml": "\n".join(["sources:", *(f"  {line}" for line in source_block(key, entry))]) + "\n",
    }


def _without_secret(scheme: Auth) -> JsonObject:
    settings = scheme.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in settings.items() if value != SOURCES_SECRET}


def source_name_of(key: str) -> str:
    return key.replace("_", "-")


def secret_name_of(key: str) -> str:
    return f"{source_name_of(key)}-secret"


def needs_secret(entry: ProviderEntry) -> bool:
    """Return whether a source of the provider needs a secret, for one of its default schemes or for its path.

    A provider that does not authenticate itself has no scheme. Its source then has a path with a secret token.
    """
    schemes = chosen_schemes(entry)
    return not entry.auth or any(offered.scheme.model_dump().get("secret") == SOURCES_SECRET for offered in schemes)


def source_block(key: str, entry: ProviderEntry) -> list[str]:
    """Return lines of YAML to put under `sources:`."""
    return [f"{source_name_of(key)}:", *(f"  {line}" for line in _settings(key, entry))]


def _settings(key: str, entry: ProviderEntry) -> Iterator[str]:
    yield f"provider: {key}"
    name = secret_name_of(key)
    if not entry.auth:
        yield f"auth: {{scheme: path, secret: {name}}}"
    elif needs_secret(entry):
        yield f"secret: {name}"
    if any(signs_url(offered.scheme) for offered in chosen_schemes(entry)):
        yield f"# public_url: https://…/{source_name_of(key)}  # as you gave it to the provider, if a proxy changes it"
    if entry.params:
        yield "params:" if any(param.required for param in entry.params.values()) else "# params:"
    for param, settings in entry.params.items():
        key_text = f"  {param}: " if settings.required else f"#   {param}: "
        yield f"{key_text}{name if settings.secret else '…'}  # {settings.about}"


def uses_provider_keys(entry: ProviderEntry) -> bool:
    """Return whether only the provider can sign, with a private key whose public key is downloaded from it."""
    schemes = [offered.scheme.model_dump() for offered in chosen_schemes(entry)]
    return bool(schemes) and all(each["scheme"] in NO_SECRET or each.get("keys_url") for each in schemes)


_ALGORITHMS: Final = frozenset({"hmac", "digest", "ecdsa", "rsa"})
_LAYOUTS: Final = {
    "pairs": "as one of its items",
    "versions": "as one of its versions",
    "numbered": "numbered from 1",
    "base64-json": "in base64 of a JSON object",
}
_UNITS: Final = {"s": "Unix seconds", "ms": "Unix milliseconds", "rfc3339": "RFC 3339", "http-date": "an HTTP date"}


def scheme_names(entry: ProviderEntry) -> list[str]:
    """Return a short name such as `hmac sha256` for each scheme that applies by default."""
    return [_name(offered.scheme.model_dump(exclude_none=True)) for offered in entry.auth if not offered.on_request]


def _name(settings: JsonObject) -> str:
    scheme = str(settings["scheme"])
    if scheme == "jwt":
        return f"jwt {', '.join(_texts(settings.get('algorithms')))}"
    return f"{scheme} {settings['algorithm']}" if scheme in _ALGORITHMS else scheme


def _scheme_details(offered: OfferedScheme) -> Iterator[str]:
    """Yield the algorithm, the location of the signature, what it covers, and the tolerance."""
    scheme = offered.scheme.model_dump(exclude_none=True)
    yield _name(scheme)
    if location := _location(scheme):
        yield location
    if "content" in scheme:
        yield f"over {scheme['content']}"
    if scheme.get("encoding") not in {None, "hex"}:
        yield f"in {scheme['encoding']}"
    if scheme.get("key") == "base64":
        yield "the secret is base64 of the key"
    elif scheme.get("key") == "hex":
        yield "the secret is the key in hex"
    if "timestamp" in scheme:
        yield f"signed at {scheme['timestamp']} ({_UNITS[str(scheme['unit'])]}), within {scheme['tolerance_seconds']} s"
    elif "tolerance_seconds" in scheme and scheme["scheme"] in SIGNING_A_TIME:
        yield f"within {scheme['tolerance_seconds']} s"
    if offered.on_request:
        yield f"only with `variant: {scheme.get('variant')}`"


def _location(scheme: JsonObject) -> str:
    header = scheme.get("header")
    where = ""
    if header:
        where = f"header {header}"
    elif scheme.get("at"):
        where = f"at {scheme['at']}"
    elif scheme["scheme"] == "query":
        where = f"query parameter {scheme.get('parameter')}"
    details = [
        _LAYOUTS.get(str(scheme.get("layout")), ""),
        f"named {' or '.join(_texts(scheme['take']))}" if scheme.get("take") else "",
        f"after {str(scheme['prefix'])!r}" if scheme.get("prefix") else "",
    ]
    return " ".join(filter(None, (where, *details)))


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
