"""How `hookchain send` proves who sends: the way, and the secret, which is never an argument."""

import argparse
import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TextIO
from urllib.parse import unquote, urlsplit

from deploy.config.faults import ConfigFaults
from deploy.requests.auth import Auth, Basic, Bearer, Hmac, Password, StandardWebhooks
from deploy.requests.send_secret import newest, secret_named
from deploy.requests.send_source import Source, auth_of, known_sources, way_of, with_token
from shared.jsontext import JsonObject

_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_TOKENS: Final = frozenset({"path", "query"})


@dataclass(frozen=True, slots=True)
class Proof:
    """`secret` is None where no header proves anything, `auth` where the secret decides.

    `url` may hold a token. `said` tells what nobody asked for aloud.
    """

    url: str
    secret: str | None = None
    auth: Auth | None = None
    said: str = ""


def proof_of(options: argparse.Namespace, environ: Mapping[str, str], stdin: TextIO) -> Proof:
    """Raises ValueError."""
    auth = _asked_for(options)
    is_given = options.secret is not None or options.secret_stdin
    if auth is not None:
        return Proof(options.url, _secret(options, environ, stdin), auth)
    if options.source is not None:
        return _as_source(_named_source(options, environ), options, environ, stdin)
    return _with_secret(options, environ, stdin) if is_given else _as_source_here(options, environ, stdin)


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
        return newest(stdin.read(), "on standard input")
    if not stdin.isatty():
        raise ValueError("which secret? Name it with --secret, or give it with --secret-stdin")
    try:
        return newest(getpass.getpass("Secret: "), "that you typed")
    except EOFError as error:
        raise ValueError("no secret was typed; nothing was sent") from error


def _named_source(options: argparse.Namespace, environ: Mapping[str, str]) -> Source:
    try:
        return known_sources(options.config, environ).named(options.source)
    except ConfigFaults as faults:
        raise _faulty(faults) from faults


def _with_secret(options: argparse.Namespace, environ: Mapping[str, str], stdin: TextIO) -> Proof:
    """In the source's own way: on this machine, and elsewhere where the source's secret has the name given."""
    try:
        source = known_sources(options.config, environ).find(_name_in(options.url))
    except ConfigFaults as faults:
        if options.config is not None:
            raise _faulty(faults) from faults
        source = None
    way = way_of(source, options.secret) if source else None
    if source and way and (_is_here(options.url) or way["secret"] == options.secret):
        return _by_way(source, way, _secret(options, environ, stdin), options)
    return Proof(options.url, _secret(options, environ, stdin))


def _as_source_here(options: argparse.Namespace, environ: Mapping[str, str], stdin: TextIO) -> Proof:
    """As the source that the URL leads to asks, where it is on this machine; the secret goes nowhere else."""
    if not _is_here(options.url):
        return _unproven(
            options.url, "its URL is not on this machine, so name a secret (--secret) or a source (--source)"
        )
    name = _name_in(options.url)
    try:
        sources = known_sources(options.config, environ)
    except ConfigFaults as faults:
        if options.config is not None:
            raise _faulty(faults) from faults
        return _unproven(options.url, f"{faults.file} has faults; see `hookchain lint`")
    source = sources.find(name)
    if source is None:
        return _unproven(options.url, f"{sources.configuration} has no source {name!r}")
    return _as_source(source, options, environ, stdin)


def _as_source(source: Source, options: argparse.Namespace, environ: Mapping[str, str], stdin: TextIO) -> Proof:
    way = way_of(source, options.secret)
    if way is None:
        return _unproven(options.url, f"the source {source.name!r} asks for none")
    if way["scheme"] in _TOKENS and with_token(options.url, source.name, way, "") == options.url:
        return Proof(options.url)  # it has one already
    is_given = options.secret is not None or options.secret_stdin
    secret = _secret(options, environ, stdin) if is_given else secret_named(str(way["secret"]), environ)
    return _by_way(source, way, secret, options)


def _by_way(source: Source, way: JsonObject, secret: str, options: argparse.Namespace) -> Proof:
    which = "the one given" if options.secret_stdin else repr(options.secret or way["secret"])
    said = f"Proven as the source {source.name!r} asks: {way['scheme']}, secret {which}"
    if way["scheme"] in _TOKENS:
        return Proof(with_token(options.url, source.name, way, secret), said=said)
    return Proof(options.url, secret, auth_of(way), said)


def _unproven(url: str, reason: str) -> Proof:
    return Proof(url, said=f"sent without proof: {reason}")


def _faulty(faults: ConfigFaults) -> ValueError:
    return ValueError(f"the configuration has faults; see `hookchain lint`: {faults}")


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in _THIS_MACHINE


def _name_in(url: str) -> str:
    return unquote(urlsplit(url).path).removeprefix("/").split("/")[0]
