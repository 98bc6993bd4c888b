"""`hookchain smoke`: one test event, posted as its source asks, and followed to its end."""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.cli import parser
from deploy.commands.operator_command import (
    DONE,
    NOT_DONE,
    USAGE,
    CannotTell,
    Configured,
    add_configuration,
    add_platform,
    add_state,
    configured,
    ended,
    is_gcp,
)
from deploy.commands.smoke_audience import Reached, audience
from deploy.commands.smoke_event import event_of_file, made_event, provider_event, request_of
from deploy.commands.smoke_follow import Told, follow, stuck
from deploy.commands.smoke_place import Place, place_of
from deploy.commands.smoke_post import Posting, post, usable_way
from deploy.commands.source_entries import provider_key, routes_from, types_of
from deploy.commands.tables import GREEN, RED, Screen, screen_of
from deploy.faults import did_you_mean
from deploy.local.supervisor.sources import sources_of
from deploy.local.supervisor.trial import sample_beside, trial_type
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.signatures.way import Way

EPILOG: Final = """\
The event is one that the source's routes take: of the type that its first route names, or of --type. Its body is made
up, or a sample of its provider's, or --file's, or sample.json's beside the configuration. It is delivered as any other,
to real people and systems: you are asked first, unless mails are only caught on this machine's page. It is marked: user
agent `hookchain-smoke`, header `webhook-id: smoke-…`, and in a body that is made up the field `hookchainSmokeTest` and
the name "Smoke Test".

examples:
  hookchain smoke
  hookchain smoke --platform gcp --source shop --yes
  hookchain smoke --source github --type push --file push.json

exit code: 0 everything owed was delivered, 1 refused, stopped or late, 2 for a command that makes no sense"""


def main(arguments: list[str]) -> int:
    words = parser("smoke", EPILOG)
    words.add_argument("--source", metavar="NAME", help="to this source (the first that can be proven to)")
    words.add_argument("--to", metavar="URL", help="to this URL, and not to the source's own")
    words.add_argument("--type", metavar="TYPE", help="the event's type")
    words.add_argument("--file", metavar="FILE", type=Path, help="the body; its ending says the format")
    words.add_argument("--timeout", metavar="SECONDS", type=float, help="follow it so long (30; on Google Cloud 120)")
    words.add_argument("--yes", action="store_true", help="do not ask before it is delivered to real people")
    add_configuration(words)
    add_platform(words)
    add_state(words)
    options = words.parse_args(arguments)
    return ended("smoke", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    have = configured(options)
    name, settings, way = _chosen_source(options, have)
    mark = f"smoke-{secrets.token_hex(8)}"
    request, event_type = _event(options, have, name, settings, mark)
    with place_of(options, have) as place:
        url = options.to or f"{place.base_url}/{name}"
        if not _is_agreed(options, audience(have.slices, name, event_type), place, url):
            return USAGE
        return _posted_and_followed(options, place, Posting(url, name, settings, way, place.secret_of), request, mark)


def _chosen_source(options: argparse.Namespace, have: Configured) -> tuple[str, JsonObject, Way]:
    """Its name, its part of receive's slice, and the way to prove the sender. Raises CannotTell."""
    known = sources_of(have.slices["receive"])
    if options.source is not None and options.source not in known:
        raise CannotTell(f"there is no source {options.source!r}{did_you_mean(options.source, known)}")
    for name in [options.source] if options.source else _routed_first(have, list(known)):
        source = known[name]
        way = usable_way(source)
        if way is not None and isinstance(source, dict):
            return name, source, way
    which = f"source {options.source!r}" if options.source else "any source"
    raise CannotTell(
        f"no way to sign for {which} here: `hookchain trigger` sends what a provider of the catalogue sends"
    )


def _routed_first(have: Configured, names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: not any(routes_from(have.slices["transform"], name)))


def _event(
    options: argparse.Namespace, have: Configured, name: str, settings: JsonObject, mark: str
) -> tuple[Request, str | None]:
    """And its type, None where only its body knows."""
    is_only_one = len(sources_of(have.slices["receive"])) == 1
    file = options.file or (sample_beside(have.path) if is_only_one and options.type is None else None)
    if file is not None:
        return request_of(event_of_file(file, settings, mark, options.type), mark), options.type
    routes: list[Json] = list(routes_from(have.slices["transform"], name))
    if provider := provider_key(have, name):
        types = [options.type] if options.type else types_of(routes)
        sample = provider_event(provider, types, mark, time.time())
        if sample is not None:
            return sample, options.type
    event_type = options.type or trial_type(name, routes)
    return request_of(made_event(settings, event_type, mark), mark), event_type


def _is_agreed(options: argparse.Namespace, reached: Sequence[Reached], place: Place, url: str) -> bool:
    real = [each for each in reached if each.kind != "email" or place.sends_mail]
    if options.yes or not real:
        return True
    print(
        f"A test event goes to {url.partition('?')[0]}, and from there, where routes let it through, to:",
        file=sys.stderr,
    )
    for each in real:
        print(f"  {each.destination} ({each.kind})  {each.whom}".rstrip(), file=sys.stderr)
    if not sys.stdin.isatty():
        print("hookchain smoke: nobody is there to be asked; --yes says that this is meant", file=sys.stderr)
        return False
    print("Send it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _posted_and_followed(
    options: argparse.Namespace, place: Place, posting: Posting, request: Request, mark: str
) -> int:
    screen, began, posted_at = screen_of(sys.stdout, os.environ), time.monotonic(), time.time()
    waiting = _Waiting(screen)
    told = Told(screen, lambda: time.monotonic() - began, waiting.say)
    outcome = post(posting, request, mark, posted_at)
    if not outcome.ok:
        todo = "hookchain status; hookchain logs --function receive" + (" --platform gcp" if is_gcp(options) else "")
        told.stage("✗", RED, "accepted", outcome.words, todo)
        return NOT_DONE
    identity = outcome.event_id or place.newest(posting.source, posted_at - 1)  # a source's own answer may name none
    if identity is None:
        told.stage("✗", RED, "stopped", "accepted, and no event of this source is seen", "hookchain status")
        return NOT_DONE
    told.stage("✓", GREEN, "accepted", f"as event {identity}")
    longest = options.timeout or place.longest_seconds
    sight = follow(
        lambda: place.look(identity, posted_at), told, longest, lambda: waiting.wait(place.pause_seconds, told.clock())
    )
    waiting.clear()
    if sight.is_good:
        print(screen.coloured(f"It works: {len(sight.deliveries)} of {sight.expected} delivered.", GREEN))
        return DONE
    if not sight.is_complete:
        told.stage("✗", RED, "stopped", *stuck(sight, longest))
    print(f"It did not get through; `hookchain events show {identity[:12]}` tells all that is known.")
    return NOT_DONE


class _Waiting:
    """On a terminal, a line that shows that time goes by, and goes away for what is said."""

    def __init__(self, screen: Screen) -> None:
        self._is_terminal = screen.width is not None
        self._is_shown = False

    def say(self, text: str) -> None:
        self.clear()
        print(text, flush=True)

    def wait(self, seconds: float, gone_seconds: float) -> None:
        if self._is_terminal and gone_seconds > 1:
            sys.stdout.write(f"\r  waiting … {gone_seconds:.0f} s\x1b[K")
            sys.stdout.flush()
            self._is_shown = True
        time.sleep(seconds)

    def clear(self) -> None:
        if self._is_shown:
            sys.stdout.write("\r\x1b[K")
            self._is_shown = False
