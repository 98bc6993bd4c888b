"""How `hookchain send` proves who sends: the way, and the secret, which is never an argument."""

import argparse
import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import unquote, urlsplit

from deploy.faults import ConfigFaults, did_you_mean
from deploy.sending.send import Auth, Basic, Bearer, Hmac, Password, StandardWebhooks
from shared.jsontext import Json, JsonObject
from shared.secret_values import split_values
from shared.secrets import SECRET_NAME, from_environment, from_folder, variable_name

ROOT: Final = Path(__file__).resolve().parents[2]
_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Proof:
    """`auth` is None where the secret decides. `said` tells what nobody asked for aloud."""

    secret: str
    auth: Auth | None
    said: str = ""


def proof_of(options: argparse.Namespace, environ: Mapping[str, str], stdin: TextIO) -> Proof | None:
    """None where nothing is proven. Raises ValueError."""
    auth = _asked_for(options)
    if options.source is not None:
        return _as_source(options.source, environ)
    if auth is None and options.secret is None and not options.secret_stdin:
        return _as_source_here(options.url, environ)
    return Proof(_secret(options, environ, stdin), auth)


def _asked_for(options: argparse.Namespace) -> Auth | None:
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
    return next((auth for is_asked, auth in flags if is_asked), None)


def _secret(options: argparse.Namespace, environ: Mapping[str, str], stdin: TextIO) -> str:
    if options.secret is not None:
        return secret_named(options.secret, environ)
    if options.secret_stdin:
        return _newest(stdin.read(), "on standard input")
    if not stdin.isatty():
        raise ValueError("which secret? Name it with --secret, or give it with --secret-stdin")
    return _newest(getpass.getpass("Secret: "), "that you typed")


def secret_named(name: str, environ: Mapping[str, str]) -> str:
    if not SECRET_NAME.fullmatch(name):
        raise ValueError("--secret takes a secret's name, such as signup-password, and never its value")
    for read in (from_folder(Path(environ.get("SECRETS_DIR") or "/secrets")), from_environment(environ)):
        if (text := read(name)) is not None:
            return _newest(text, repr(name))
    raise ValueError(f"there is no secret {name!r}: set {variable_name(name)}, or write it to .env")


def _newest(text: str, which: str) -> str:
    values = split_values(text)
    if not values:
        raise ValueError(f"the secret {which} is empty")
    return values[0]


def _as_source_here(url: str, environ: Mapping[str, str]) -> Proof | None:
    """As the source that the URL leads to asks, where it is on this machine; the secret goes nowhere else."""
    parts = urlsplit(url)
    name = unquote(parts.path).split("/")[1:2]
    if parts.hostname not in _THIS_MACHINE or not name:
        return None
    try:
        return _as_source(name[0], environ) if name[0] in _sources(environ) else None
    except ConfigFaults:
        return None  # whoever runs there was started with another configuration


def _as_source(name: str, environ: Mapping[str, str]) -> Proof | None:
    try:
        sources = _sources(environ)
    except ConfigFaults as faults:
        raise ValueError(f"the configuration has faults; see `hookchain lint`: {faults}") from faults
    source = sources.get(name)
    if not isinstance(source, dict):
        raise ValueError(f"there is no source {name!r}{did_you_mean(name, sources)}")
    ways = source["auth"]
    assert isinstance(ways, list)
    for way in ways:
        if isinstance(way, dict) and (auth := _auth_of(way)):
            secret = str(way["secret"])
            said = f"Proven as the source {name!r} asks: {type(auth).__name__}, secret {secret!r}"
            return Proof(secret_named(secret, environ), auth, said)
    return None


def _sources(environ: Mapping[str, str]) -> JsonObject:
    from deploy.compiler import choose_config, compile_file  # slow to import, and most senders name their secret

    sources: Json = compile_file(choose_config(environ, ROOT), environ)["receive"]["sources"]
    assert isinstance(sources, dict)
    return sources


def _auth_of(way: JsonObject) -> Auth | None:
    match way["scheme"]:
        case "header":
            return Password(str(way["header"]))
        case "basic":
            return Basic(str(way.get("username", "hookchain")))
        case "bearer":
            return Bearer()
        case "hmac":
            return Hmac(str(way["header"]), str(way["algorithm"]), str(way["encoding"]), str(way["prefix"]))
        case "standard-webhooks":
            return StandardWebhooks()
        case _:
            return None  # a token in the URL is there already
