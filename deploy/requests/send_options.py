"""The options of `hookchain send`: the secret and its scheme, and the event as fields, text, a file or standard input.

A secret is never an argument, only its name. It goes to another machine only if the user names it or a source: with
neither, a URL elsewhere gets a request without authentication.
"""

import argparse
import getpass
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from deploy.client.hookchain.auth import Auth, Basic, Bearer, Hmac, Password, StandardWebhooks
from deploy.client.hookchain.formats import FORMATS, xml_text
from deploy.config.config_file import ConfigFaults
from deploy.config.configured import config_path, configured_at
from deploy.requests.sources import auth_entries, compiled_sources, is_plain_hmac
from functions.receive.query_body import BODY_PARAMETER, document_in
from shared.did_you_mean import did_you_mean
from shared.formats.parse import parse_body
from shared.jsontext import Json, JsonObject, base64url, to_json
from shared.limits import DEFAULT
from shared.secrets import SECRET_NAME, from_environment, from_folder, split_values, variable_name
from shared.settings import read_settings
from shared.signatures.links import OWN, Pairs

THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""The hosts in URLs of this machine."""
_TOKENS_IN_URL: Final = frozenset({"path", "query"})
"""The schemes whose token is a part of the URL."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A request's authentication.

    url       the URL to send to, which may hold a token
    secret    None if no header authenticates
    auth      None if the secret decides, as deploy/client/hookchain/sending.py says
    note      what was decided without an option of the user; empty for nothing
    """

    url: str
    secret: str | None = None
    auth: Auth | None = None
    note: str = ""


def read_secret(name: str, environ: Mapping[str, str]) -> str:
    """Look a secret up as the functions do, and return its newest value. The text of a ValueError is safe to show."""
    if not SECRET_NAME.fullmatch(name):
        raise ValueError("--secret takes a secret's name, such as signup-password, and never its value")
    for read in (from_folder(read_settings(environ).secrets_folder), from_environment(environ)):
        if (text := read(name)) is not None:
            return _newest_value(text, repr(name))
    raise ValueError(f"there is no secret {name!r}. Set {variable_name(name)}, or write it to .env.")


def choose_credentials(options: argparse.Namespace, environ: Mapping[str, str], stdin: TextIO) -> Credentials:
    """Return the authentication by the first of these: a scheme that an option names, the source that --source names, a
    secret that an option gives, the source in a URL of this machine. Raises ValueError.

    A given secret is used by the scheme of the source in the URL if that source is meant: on this machine, and
    elsewhere if its secret has the name given. Otherwise the secret decides, as `Credentials.auth` says.
    """
    url: str = options.url
    auth = _requested_auth(options)
    if auth is not None:
        return Credentials(url, _given_secret(options, environ, stdin), auth)
    is_local = urlsplit(url).hostname in THIS_MACHINE
    is_secret_given = options.secret is not None or options.secret_stdin
    if not (is_local or is_secret_given or options.source is not None):
        reason = "the URL is not on this machine. Name a secret (--secret) or a source (--source)"
        return _unauthenticated(url, reason)
    name = _source_name(url) if options.source is None else options.source
    entry, reason = _auth_entry(name, options, environ)
    if is_secret_given and options.source is None:
        is_source_meant = entry is not None and (is_local or entry["secret"] == options.secret)
        if not is_source_meant:
            return Credentials(url, _given_secret(options, environ, stdin))
    if entry is None:
        return _unauthenticated(url, reason)
    if entry["scheme"] in _TOKENS_IN_URL and _has_token(url, name, entry):
        return Credentials(url)
    secret = _given_secret(options, environ, stdin) if is_secret_given else read_secret(str(entry["secret"]), environ)
    which = "the one given" if options.secret_stdin else repr(options.secret or entry["secret"])
    note = f"Authenticated as the source {name!r} needs: {entry['scheme']}, secret {which}"
    return _by_entry(url, entry, secret, note)


def _by_entry(url: str, entry: JsonObject, secret: str, note: str) -> Credentials:
    """Use an entry of a source's `auth` with this secret. Raises as `client_auth`."""
    if entry["scheme"] in _TOKENS_IN_URL:
        return Credentials(_url_with_token(url, entry, secret), note=note)
    return Credentials(url, secret, client_auth(entry), note)


def _requested_auth(options: argparse.Namespace) -> Auth | None:
    """Return the scheme that an option names; None if none does."""
    if options.password_header is not None:
        return Password(options.password_header)
    if options.basic is not None:
        return Basic(options.basic)
    if options.hmac is not None:
        return Hmac(*options.hmac.split(":", 3))
    flags = (
        (options.password, Password()),
        (options.bearer, Bearer()),
        (options.standard_webhooks, StandardWebhooks()),
    )
    return next((auth for is_requested, auth in flags if is_requested), None)


def _given_secret(options: argparse.Namespace, environ: Mapping[str, str], stdin: TextIO) -> str:
    """Return the secret that an option names, or that is on standard input, or that is typed. Raises ValueError."""
    if options.secret is not None:
        return read_secret(options.secret, environ)
    if options.secret_stdin:
        return _newest_value(stdin.read(), "on standard input")
    if not stdin.isatty():
        raise ValueError("the secret is missing. Name it with --secret, or give it with --secret-stdin.")
    try:
        return _newest_value(getpass.getpass("Secret: "), "that you typed")
    except EOFError as error:
        raise ValueError("no secret was typed; nothing was sent") from error


def _newest_value(text: str, which: str) -> str:
    """Return the first value of a secret: the newest is first. `which` names the secret in the message."""
    values = split_values(text)
    if not values:
        raise ValueError(f"the secret {which} is empty")
    return values[0]


def _auth_entry(name: str, options: argparse.Namespace, environ: Mapping[str, str]) -> tuple[JsonObject | None, str]:
    """Return the entry of the source's `auth` with the secret that --secret names, else the first that takes a secret.

    Without such an entry, return None and the reason. Raises ValueError if --source names an unknown source, or if the
    configuration of --source or --config has faults.
    """
    try:
        configuration = configured_at(config_path(options, environ), environ)
    except ConfigFaults as faults:
        if options.source is not None or options.config is not None:
            raise ValueError(f"the configuration has faults; see `hookchain lint`: {faults}") from faults
        return None, f"{faults.file} has faults; see `hookchain lint`"
    sources = compiled_sources(configuration.slices["receive"])
    if name in sources:
        entries = [each for each in auth_entries(sources[name]) if "secret" in each]
        named = [each for each in entries if each["secret"] == options.secret]
        return next(iter([*named, *entries]), None), f"the source {name!r} needs none"
    if options.source is not None:
        raise ValueError(f"there is no source {name!r}{did_you_mean(name, sources)}")
    return None, f"{configuration.path or 'the configuration without a file'} has no source {name!r}"


def _unauthenticated(url: str, reason: str) -> Credentials:
    return Credentials(url, note=f"sent without authentication: {reason}")


def client_auth(entry: JsonObject) -> Auth:
    """Return the client's scheme for an `auth` entry.

    Raises ValueError for one that no header alone can meet, such as a signature with a time in it.
    """
    match entry["scheme"]:
        case "header":
            return Password(str(entry["header"]))
        case "basic":
            return Basic(str(entry.get("username", "hookchain")))
        case "bearer":
            return Bearer()
        case "hmac" if is_plain_hmac(entry):
            return Hmac(*(str(entry[name]) for name in ("header", "algorithm", "encoding", "prefix")))
        case "standard-webhooks" if entry.get("key", "base64") == "base64":
            return StandardWebhooks()
        case "link":
            raise ValueError("a source of links needs a signed link. Make one with `hookchain link`, and open it.")
        case scheme:
            instead = "Try `hookchain smoke --source NAME --file FILE`, or `hookchain trigger` for a provider's sample."
            raise ValueError(f"`hookchain send` cannot sign for the scheme {scheme}. {instead}")


def _url_with_token(url: str, entry: JsonObject, token: str) -> str:
    """Return the URL with the token where `path` or `query` has it."""
    parts = urlsplit(url)
    if entry["scheme"] == "path":
        return parts._replace(path=f"{parts.path.rstrip('/')}/{quote(token, safe='')}").geturl()
    pair = f"{quote(str(entry['parameter']), safe='')}={quote(token, safe='')}"
    return parts._replace(query=f"{parts.query}&{pair}" if parts.query else pair).geturl()


def _has_token(url: str, source: str, entry: JsonObject) -> bool:
    """Return whether the URL has a token: after the source's name in the path, or as the parameter of the query."""
    parts = urlsplit(url)
    if entry["scheme"] == "path":
        return source in map(unquote, parts.path.rstrip("/").split("/")[:-1])
    return str(entry["parameter"]) in dict(parse_qsl(parts.query, keep_blank_values=True))


def _source_name(url: str) -> str:
    """Return the source in the URL: receive reads it from the first part of the path."""
    return unquote(urlsplit(url).path).removeprefix("/").split("/")[0]


# The body


_LINK_BODY: Final = BODY_PARAMETER.decode()
_SUFFIX_FORMATS: Final = {".json": "json", ".xml": "xml", ".yaml": "yaml", ".yml": "yaml", ".form": "form"}
_FIRST_CHARACTERS: Final = {"{": "json", "[": "json", "<": "xml"}


def read_body(options: argparse.Namespace, stdin: TextIO) -> "tuple[Json | bytes, str]":
    """Return a value and the format to write it in, or bytes in that format to send unchanged.

    The caller adds the options' extra fields to a value. Bytes have them already. Raises ValueError, OSError, and
    Rejected for a text that does not parse.
    """
    if options.field:
        if options.data is not None or options.file is not None:
            raise ValueError("the body must come from fields, --data or --file; got two of them")
        return parse_fields(options.field), options.format or "json"
    content, found_format = _read_content(options, stdin)
    wanted_format = _require_format(options.format or found_format)
    if found_format is None:
        found_format = wanted_format
    if found_format == wanted_format and not options.extra:
        return content, wanted_format
    value = parse_body(content, FORMATS[found_format][1], DEFAULT).data
    if found_format == wanted_format == "xml":
        return _with_extra_in_root(value, parse_fields(options.extra)), wanted_format
    return value, wanted_format


def parse_fields(pairs: Iterable[str]) -> JsonObject:
    """Return the fields that name=text and name:=JSON give. Raises ValueError, also for a name that comes twice."""
    fields: JsonObject = {}
    for pair in pairs:
        name, value = _parse_field(pair)
        if name in fields:
            raise ValueError(f"the field {name!r} is given twice. For a list, write {name}:=[…].")
        fields[name] = value
    return fields


def _parse_field(pair: str) -> tuple[str, Json]:
    name, equals, text = pair.partition("=")
    if not equals or not name.removesuffix(":"):
        raise ValueError(f"{pair!r} is not a field. Write name=text, or name:=JSON.")
    if not name.endswith(":"):
        return name, text
    try:
        value: Json = json.loads(text)
    except ValueError as error:
        raise ValueError(f"field {name[:-1]!r}: must be JSON. For a text write {name[:-1]}=…") from error
    return name[:-1], value


def _read_content(options: argparse.Namespace, stdin: TextIO) -> tuple[bytes, str | None]:
    """Return the bytes, and their format where the file name or the first character shows it, else None.

    Raises ValueError and OSError.
    """
    if options.data is not None and options.file is not None:
        raise ValueError("the body must come from --data or --file; got both")
    if options.data is not None:
        return options.data.encode(), _guess_format(options.data)
    if options.file not in {None, "-"}:
        path = Path(options.file)
        content = path.read_bytes()
        return content, _SUFFIX_FORMATS.get(path.suffix.lower()) or _guess_format(content.decode("utf-8", "replace"))
    if options.secret_stdin or stdin.isatty():
        raise ValueError("the body is missing. Write fields (name=text), or use --data or --file.")
    content = stdin.buffer.read()
    return content, _guess_format(content.decode("utf-8", "replace"))


def _guess_format(text: str) -> str | None:
    return _FIRST_CHARACTERS.get(text.removeprefix("\ufeff").lstrip()[:1])


def _require_format(format_name: str | None) -> str:
    if format_name is None:
        raise ValueError(f"the body's format is unknown. Give --format with one of: {', '.join(FORMATS)}")
    return format_name


def _with_extra_in_root(document: Json, extra: JsonObject) -> bytes:
    """Return an XML document with more elements in its root, which keeps its name."""
    assert isinstance(document, dict)  # the parser returns the root by its name
    [(root, content)] = document.items()
    fields = content if isinstance(content, dict) else {"#text": content}
    return xml_text({**fields, **extra}, root).encode()


def make_link_parameters(fields: Sequence[str], data: str | None) -> Pairs:
    """Return an event as parameters of a link: plain fields where all are texts, else one document.

    Raises ValueError.
    """
    if (fields and data is not None) or (not fields and data is None):
        raise ValueError("the event must come from fields (name=text) or from --data, and not from both")
    if data is not None:
        return [(_LINK_BODY, _encode_document(data))]
    named = parse_fields(fields)
    if reserved := sorted(named.keys() & OWN):
        raise ValueError(f"the field {reserved[0]!r} is reserved for the link. Give the event with --data.")
    are_texts = all(isinstance(value, str) for value in named.values())
    is_each_name_once = len(named) == len(fields)  # of a repeated name, a document has the last value alone
    if are_texts and is_each_name_once and _LINK_BODY not in named:
        return [(name, str(value)) for name, value in named.items()]
    return [(_LINK_BODY, _encode_document(to_json(named)))]


def _encode_document(data: str) -> str:
    """Return a spelling that receive decodes to the same bytes: base64url, else the text. Raises ValueError."""
    content = data.encode()
    for text in (base64url(content), data):
        if document_in(text.encode()).content == content:
            return text
    raise ValueError("--data: receive would read this text as something else. Write it as JSON.")
