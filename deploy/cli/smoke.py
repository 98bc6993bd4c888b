"""`hookchain smoke`: one test event, posted as its source asks, and followed to its end."""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.cli.ending import DONE, NOT_DONE, USAGE, ended
from deploy.cli.main import parser
from deploy.cli.smoke_choice import chosen_event, chosen_source
from deploy.cli.smoke_follow import Told, follow, stuck
from deploy.cli.smoke_place import Place, place_of
from deploy.config.configured import add_configuration, configured
from deploy.history.platform_options import add_platform, add_state, same_platform
from deploy.requests.smoke import Posting, Recipient, possible_recipients, post
from deploy.terminal.passing_line import PassingLine
from deploy.terminal.tables import GREEN, RED, screen_of
from shared.http import Request

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
    name, settings, way = chosen_source(options, have)
    mark = f"smoke-{secrets.token_hex(8)}"
    request, event_type = chosen_event(options, have, name, settings, mark)
    with place_of(options, have) as place:
        url = options.to or f"{place.base_url}/{name}"
        if not _is_agreed(options, possible_recipients(have.slices, name, event_type), place, url):
            return USAGE
        return _posted_and_followed(options, place, Posting(url, name, settings, way, place.secret_of), request, mark)


def _is_agreed(options: argparse.Namespace, reached: Sequence[Recipient], place: Place, url: str) -> bool:
    real = [each for each in reached if each.kind != "email" or place.sends_mail]
    if options.yes or not real:
        return True
    print(
        f"A test event goes to {url.partition('?')[0]}, and from there, where routes let it through, to:",
        file=sys.stderr,
    )
    for each in real:
        print(f"  {each.destination} ({each.kind})  {each.addresses}".rstrip(), file=sys.stderr)
    if not sys.stdin.isatty():
        print("hookchain smoke: nobody is there to be asked; --yes says that this is meant", file=sys.stderr)
        return False
    print("Send it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _posted_and_followed(
    options: argparse.Namespace, place: Place, posting: Posting, request: Request, mark: str
) -> int:
    screen, began, posted_at = screen_of(sys.stdout, os.environ), time.monotonic(), time.time()
    waiting = _Waiting()
    where = same_platform(options)
    told = Told(screen, lambda: time.monotonic() - began, waiting.say, where)
    outcome = post(posting, request, mark, posted_at)
    if not outcome.ok:
        told.stage("✗", RED, "accepted", outcome.message, f"hookchain logs --function receive{where}")
        return NOT_DONE
    identity = outcome.event_id or place.newest(posting.source, posted_at - 1)  # a source's own answer may name none
    if identity is None:
        told.stage("✗", RED, "stopped", "accepted, and no event of this source is seen", f"hookchain status{where}")
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
        told.stage("✗", RED, "stopped", *stuck(sight, longest, where))
    print(f"It did not get through; `hookchain events show {identity[:12]}{where}` tells all that is known.")
    return NOT_DONE


class _Waiting:
    """On a terminal, a line that shows that time goes by, and goes away for what is said."""

    def __init__(self) -> None:
        self._line = PassingLine(sys.stdout)

    def say(self, text: str) -> None:
        self._line.clear()
        print(text, flush=True)

    def wait(self, seconds: float, gone_seconds: float) -> None:
        if gone_seconds > 1:
            self._line.show(f"  waiting … {gone_seconds:.0f} s")
        time.sleep(seconds)

    def clear(self) -> None:
        self._line.clear()
