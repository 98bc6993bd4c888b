"""Run the kill test in full and print its account.

Examples:
  python -m tests.kill --with partition,pause,disk,clock
  python -m tests.kill --destinations all
  python -m tests.kill --destinations customers --events 500
  python -m tests.kill --destinations all --hang
  python -m tests.kill --platform aws --hang
  python -m tests.kill --serve --with partition,pause,disk,clock
  python -m tests.kill --serve --slow-disk 0.1 --events 1000 --rate 20
  python -m tests.kill --serve --upgrade-from HEAD~20 --events 1000 --rate 20
"""

import argparse
import contextlib
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from tests.bench.tree import trees
from tests.kill.kill import DESTINATIONS, TROUBLES, Storm, busy_seconds, kill_test
from tests.kill.lambda_kill import lambda_kill_test


@dataclass(frozen=True, slots=True)
class Defaults:
    events: int
    kills: int
    rate: float


DEFAULTS: Final = {
    "gcp": Defaults(10_000, 20, 150.0),
    "all destinations": Defaults(3_000, 20, 25.0),
    "aws": Defaults(500, 15, 8.0),
}


def main() -> int:
    options = parse_options()
    if options.platform == "aws":
        storm = Storm(options.events, options.rate, options.seed, options.kills, hangs=options.hang)
        with tempfile.TemporaryDirectory() as folder:
            done = lambda_kill_test(Path(folder), storm)
        print(done)
        return 0 if done.is_good else 1
    troubles = [name for name in options.troubles.split(",") if name]
    named = options.destinations.split(",")
    destinations = tuple(DESTINATIONS if "all" in named else dict.fromkeys(["mail", *named]))
    storm = Storm(options.events, options.rate, options.seed, options.kills, troubles, options.seconds)
    # Events are posted for as long as something is disturbed, however many there are.
    rate = min(options.rate, options.events / max(1.0, 1.2 * busy_seconds(storm)))
    storm = replace(storm, rate=rate, destinations=destinations, hangs=options.hang)
    storm = replace(storm, serves=options.serve, commit_seconds=options.slow_disk)
    with contextlib.ExitStack() as stage:
        if options.upgrade_from:
            earlier = stage.enter_context(trees(options.upgrade_from))[-1]
            storm = replace(storm, upgraded_from=earlier.root)
        folder = stage.enter_context(tempfile.TemporaryDirectory())
        outcome = kill_test(Path(folder), storm)
    print(outcome)
    return 0 if outcome.is_good else 1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--platform",
        choices=("gcp", "aws"),
        default="gcp",
        help="emulate this cloud, AWS with the real runtime [gcp]",
    )
    parser.add_argument(
        "--destinations",
        default="mail",
        metavar="NAMES",
        help=f"deliver each event as mail and to these too: a comma list of {', '.join(DESTINATIONS)}, or all [mail]",
    )
    parser.add_argument("--events", type=int, help="how many events to post [10000; all destinations: 3000; aws: 500]")
    parser.add_argument("--kills", type=int, help="how many kills to spread over the posting [20; aws: 15]")
    parser.add_argument("--rate", type=float, help="events a second, at most [150; all destinations: 25; aws: 8]")
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments and of the bus's own faults [1]")
    parser.add_argument(
        "--with", dest="troubles", default="", metavar="NAMES", help=f"a comma list of {', '.join(TROUBLES)} [none]"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each of them lasts [60]")
    parser.add_argument(
        "--hang", action="store_true", help="let one more destination and a step's API hang until the kills are over"
    )
    parser.add_argument(
        "--slow-disk", type=float, default=0.0, metavar="S", help="each commit takes S seconds longer [0]"
    )
    parser.add_argument("--serve", action="store_true", help="run `hookchain serve` instead of `hookchain dev`")
    parser.add_argument(
        "--upgrade-from",
        metavar="COMMIT",
        help="run this commit first, with the packages of this checkout; after half of the kills and troubles, stop it "
        "and continue on the same state",
    )
    options = parser.parse_args()
    if options.upgrade_from and not options.serve:
        parser.error("--upgrade-from: needs --serve.")
    if options.serve and (
        options.platform == "aws" or not {"mail", "webhook", "chat"} >= {*options.destinations.split(",")}
    ):
        parser.error("--serve: needs --platform gcp, and no other destinations than mail, webhook and chat.")
    if unknown := set(options.destinations.split(",")) - {"all", *DESTINATIONS}:
        parser.error(f"--destinations: must name some of {', '.join(DESTINATIONS)}, or all; got {min(unknown)!r}.")
    is_all = options.destinations != "mail"
    for name, value in asdict(DEFAULTS["all destinations" if is_all else options.platform]).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.platform == "aws" and options.troubles:
        parser.error("--with: needs --platform gcp; got --platform aws.")
    if options.platform == "aws" and is_all:
        parser.error("--destinations: needs --platform gcp; got --platform aws.")
    if unknown := set(options.troubles.split(",")) - {"", *TROUBLES}:
        parser.error(f"--with: must name some of {', '.join(TROUBLES)}; got {min(unknown)!r}.")
    if "disk" in options.troubles and os.geteuid() != 0:
        sys.stderr.write("disk: only root can mount a small disk; the processes' file size is limited instead.\n")
    return options


if __name__ == "__main__":
    sys.exit(main())
