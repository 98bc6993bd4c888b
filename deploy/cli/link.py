"""`hookchain link SOURCE`: create a signed URL that sends an event, for applications that can only open a URL."""

import argparse
import secrets
import sys
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from deploy.cli.command import DONE, USAGE, parser, run_command
from deploy.config import checkout
from deploy.config.configured import add_env_file, configured
from deploy.history.local import expected_ports
from deploy.requests.send_options import make_link_parameters, read_secret
from deploy.requests.sources import auth_entries, compiled_sources
from shared.config.rules import duration_seconds
from shared.did_you_mean import did_you_mean
from shared.jsontext import JsonObject, to_json
from shared.signatures.links import EXPIRES, ONCE, SIGNATURE, Pairs, link_signature
from shared.times import rfc3339

MAX_SECONDS: Final = 36_500 * 86_400
MAX_ONCE_SECONDS: Final = 30 * 86_400
"""The longest lifetime of a link with --once. REMEMBERED_SECONDS in shared/delivery.py must be longer."""
LONG_URL: Final = 2_000
"""The characters of a URL above which some applications do not open it."""


def main(arguments: list[str]) -> int:
    command = parser("link")
    _add_arguments(command)
    options = command.parse_intermixed_args(arguments)
    return run_command("link", lambda: _run(options), ValueError, error_code=USAGE)


def _run(options: argparse.Namespace) -> int:
    """Print the link, and what an opening of it does. Return DONE. Raises ValueError and ConfigFaults."""
    link = _make_link(options, time.time())
    print(to_json(link) if options.json else link["url"])
    if not options.json:
        print(_validity(link), file=sys.stderr)
    return DONE


def _make_link(options: argparse.Namespace, now: float) -> JsonObject:
    """Return the link as a document: `url`, `expires_at` (RFC 3339, or null) and `once`.

    The signature comes last, because it covers all other parameters.
    """
    configuration = configured(options)
    sources = compiled_sources(configuration.slices["receive"])
    if options.source not in sources:
        raise ValueError(f"there is no source {options.source!r}{did_you_mean(options.source, sources)}")
    source = sources[options.source]
    secret = read_secret(_link_secret(options.source, source), configuration.environ)
    seconds = _lifetime(options.expires, options.once)
    pairs: Pairs = make_link_parameters(options.field, options.data)
    if seconds is not None:
        pairs.append((EXPIRES, str(int(now + seconds))))
    if options.once:
        pairs.append((ONCE, secrets.token_urlsafe(16)))
    pairs.append((SIGNATURE, link_signature(options.source, pairs, secret)))
    return {
        "url": f"{_place(options, source, configuration.environ)}?{urlencode(pairs, quote_via=quote)}",
        "expires_at": None if seconds is None else rfc3339(int(now + seconds)),
        "once": options.once,
    }


def _lifetime(text: str, is_once: bool) -> float | None:
    """Return the seconds of --expires, or None for a link that never expires. Raises ValueError."""
    seconds = None if text == "never" else _expiry_seconds(text)
    if is_once and (seconds is None or seconds > MAX_ONCE_SECONDS):
        raise ValueError("--once: needs an --expires of at most 30d: openings are remembered for some weeks only")
    return seconds


def _expiry_seconds(text: str) -> float:
    try:
        seconds = float(str(duration_seconds(text)))  # a number without a unit is returned as text
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= MAX_SECONDS:
        raise ValueError(f"--expires: must be a time such as 90s, 15m, 1h, 7d, or never; got {text!r}")
    return seconds


def _link_secret(name: str, source: JsonObject) -> str:
    """Return the name of the secret that signs links to the source. Raises ValueError."""
    for auth in auth_entries(source):
        if auth["scheme"] == "link":
            return str(auth["secret"])
    how = "add `methods: [GET]` and `auth: {scheme: link, secret: …}`"
    raise ValueError(f"the source {name!r} accepts no links: {how}")


def _place(options: argparse.Namespace, source: JsonObject, environ: Mapping[str, str]) -> str:
    """Return the source's URL: from --url, from its `public_url`, or on this machine. Raises ValueError."""
    public_url = source.get("public_url")
    if options.url is None and isinstance(public_url, str):
        return public_url
    here = f"http://localhost:{expected_ports(checkout.state_folder(), environ).receive}"
    return _source_url(options.url or here, options.source)


def _source_url(url: str, source: str) -> str:
    """Return the source's URL. `url` is receive's or already the source's. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"--url: must be receive's URL, such as https://hooks.example.com; got {url!r}")
    place = url.rstrip("/")
    return place if parts.path.rstrip("/").endswith(f"/{source}") else f"{place}/{source}"


def _validity(link: JsonObject) -> str:
    """Return when the link expires and what an opening does, for a person."""
    expiry = link["expires_at"]
    facts = [
        f"expires at {expiry}" if expiry else "never expires: anyone who sees it can use it",
        "every opening is the same event, delivered once" if link["once"] else "each opening is an event",
    ]
    length = len(str(link["url"]))
    if length > LONG_URL:
        facts.append(f"{length} characters, too long for some applications")
    return "; ".join(facts)


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.usage = "hookchain link SOURCE [FIELD …] [options]"
    command.add_argument("source", metavar="SOURCE", help="name the source")
    command.add_argument("field", metavar="FIELD", nargs="*", help="add a field: name=text or name:=JSON")
    command.add_argument("--data", metavar="TEXT", help="set the whole event instead of fields")
    command.add_argument(
        "--expires", metavar="TIME", default="1h", help="set the lifetime: 90s, 15m, 1h, 7d, never [1h]"
    )
    command.add_argument("--once", action="store_true", help="treat every opening as the same event")
    command.add_argument("--url", metavar="URL", help="set receive's URL [public_url, else this machine]")
    command.add_argument("--config", metavar="FILE", help="read the sources of this configuration [HOOKCHAIN_CONFIG]")
    add_env_file(command)
    command.add_argument("--json", action="store_true", help="print one JSON object: url, expires_at, once")
