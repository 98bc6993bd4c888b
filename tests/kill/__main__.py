"""`python -m tests.kill`: the kill test in full, and its count."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.kill.kill import kill_test


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000, help="posted (default 10000)")
    parser.add_argument("--kills", type=int, default=20, help="spread over the posting (default 20)")
    parser.add_argument("--rate", type=float, default=150.0, help="events a second (default 150)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and of the bus's own faults (default 1)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        verdict = kill_test(Path(folder), options.events, options.kills, options.rate, options.seed)
    print(verdict)
    return 0 if verdict.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
