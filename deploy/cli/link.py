"""`hookchain link SOURCE`: an event in a URL, signed, for an application that can do no more than open one."""

import argparse
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from deploy.cli.ending import words_of
from deploy.cli.main import parser
from deploy.config.checkout import ROOT, environ_with, state_folder
from deploy.config.dotenv import DotenvFault
from deploy.config.faults import ConfigFaults
from deploy.history.local import local_ports
from deploy.requests.bodies import make_link_parameters
from deploy.requests.credentials import read_secret
from deploy.requests.sources import Sources, load_sources
from functions.receive.link import EXPIRES, ONCE, SIGNATURE, Pairs, link_signature
from shared.config.values import duration_seconds
from shared.jsontext import JsonObject, to_json
from shared.times import rfc3339

MAX_SECONDS: Final = 36_500 * 86_400
MAX_ONCE_SECONDS: Final = 30 * 86_400
LONG_URL: Final = 2_000
_EXPIRES_RULE: Final = "--expires takes such as 90s, 15m, 1h, 7d or never; found {!r}"

EPILOG: Final = """\
examples:
  hookchain link enroll serial=C02XL0 event=device.lost
  hookchain link enroll --data '{"event": "device.lost", "serial": "C02XL0"}' --once --expires 7d
  hookchain link enroll --data "$(cat event.xml)" --url https://hooks.example.com

The source says `methods: [GET]` and `auth: {scheme: link, secret: NAME}`. Its event is what is given as fields or by
--data: JSON, XML, YAML or a text. The link is signed, not encrypted: whoever sees it can read it, and can open it while
it is good. With --once, every opening is the same event, and is delivered once; the sender is told the same each time.

exit code: 0, or 2 for a command that makes no sense"""


def main(arguments: list[str]) -> int:
    words = parser("link", EPILOG)
    _add_arguments(words)
    options = words.parse_intermixed_args(arguments)
    try:
        environ = environ_with(options.env_file)
        link = made_link(options, environ, time.time())
    except ConfigFaults as faults:
        print(faults, file=sys.stderr)
        return 2
    except (ValueError, OSError, DotenvFault) as error:
        words.error(words_of(error))
    print(to_json(link) if options.json else link["url"])
    if not options.json:
        print(_words(link), file=sys.stderr)
    return 0


def made_link(options: argparse.Namespace, environ: Mapping[str, str], now: float) -> JsonObject:
    """`url`, `expires_at` (RFC 3339, or null) and `once`. Raises ValueError, ConfigFaults."""
    sources = load_sources(options.config, environ)
    secret = read_secret(_link_secret(sources, options.source), environ)
    seconds = lifetime(options.expires, options.once)
    pairs: Pairs = make_link_parameters(options.field, options.data)
    if seconds is not None:
        pairs.append((EXPIRES, str(int(now + seconds))))
    if options.once:
        pairs.append((ONCE, secrets.token_urlsafe(16)))
    pairs.append((SIGNATURE, link_signature(options.source, pairs, secret)))
    return {
        "url": f"{_place(sources, options, environ)}?{urlencode(pairs, quote_via=quote)}",
        "expires_at": None if seconds is None else rfc3339(int(now + seconds)),
        "once": options.once,
    }


def _seconds(text: str) -> float:
    try:
        return float(str(duration_seconds(text)))
    except ValueError:
        raise ValueError(_EXPIRES_RULE.format(text)) from None


def lifetime(text: str, is_once: bool) -> float | None:
    """In seconds; None for ever. Raises ValueError."""
    if text == "never":
        if is_once:
            raise ValueError(
                "a link for once needs an end: that it was opened is remembered for some weeks, not for ever"
            )
        return None
    seconds = _seconds(text)
    if not 1 <= seconds <= MAX_SECONDS:
        raise ValueError(_EXPIRES_RULE.format(text))
    if is_once and seconds > MAX_ONCE_SECONDS:
        raise ValueError("a link for once is good for at most 30d: that it was opened is not remembered for ever")
    return seconds


def _link_secret(sources: Sources, name: str) -> str:
    for way in sources.named(name).auth:
        if way["scheme"] == "link":
            return str(way["secret"])
    raise ValueError(
        f"the source {name!r} takes no links: write `methods: [GET]` and `auth: {{scheme: link, secret: …}}`"
    )


def _place(sources: Sources, options: argparse.Namespace, environ: Mapping[str, str]) -> str:
    settings = sources.all[options.source]
    public_url = settings.get("public_url") if isinstance(settings, dict) else None
    if options.url is None and isinstance(public_url, str):
        return public_url
    here = f"http://localhost:{local_ports(state_folder(), environ).receive}"
    return _source_url(options.url or here, options.source)


def _source_url(url: str, source: str) -> str:
    """Of where receive is, or where that source is already. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"--url takes where receive is, such as https://hooks.example.com; found {url!r}")
    place = url.rstrip("/")
    return place if parts.path.rstrip("/").endswith(f"/{source}") else f"{place}/{source}"


def _words(link: JsonObject) -> str:
    until = f"good until {link['expires_at']}" if link["expires_at"] else "good for ever: anyone who sees it can use it"
    times = "opened again, it is the same event and delivered once" if link["once"] else "each opening is an event"
    long = f"; {len(str(link['url']))} characters, more than some applications take"
    return f"{until}; {times}{long if len(str(link['url'])) > LONG_URL else ''}"


def _add_arguments(words: argparse.ArgumentParser) -> None:
    words.usage = "hookchain link SOURCE [FIELD …] [options]"
    words.add_argument("source", metavar="SOURCE", help="which source takes it")
    words.add_argument("field", metavar="FIELD", nargs="*", help="name=text, or name:=JSON")
    words.add_argument("--data", metavar="TEXT", help="the event itself, in place of fields")
    words.add_argument(
        "--expires", metavar="TIME", default="1h", help="good for: 90s, 15m, 1h, 7d, never (default: 1h)"
    )
    words.add_argument("--once", action="store_true", help="every opening is the same event, delivered once")
    words.add_argument("--url", metavar="URL", help="where receive is (default: public_url, else this machine)")
    words.add_argument("--config", metavar="FILE", help="whose sources count (HOOKCHAIN_CONFIG)")
    words.add_argument("--env-file", metavar="FILE", type=Path, default=ROOT / ".env", help="secrets (default: .env)")
    words.add_argument("--json", action="store_true", help="print one JSON object: url, expires_at, once")
