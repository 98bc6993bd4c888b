"""A gcloud on PATH: `python -m tests.gcloud_program STATE ARGUMENT…` is one call against the world in a file."""

import fcntl
import json
import sys
from pathlib import Path

from tests.gcloud_world import World


def main(state: Path, arguments: list[str]) -> int:
    with state.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kept = json.loads(file.read() or "{}")
        world = World(**kept)
        code, out, err = world.call(arguments, "" if sys.stdin.isatty() else sys.stdin.read())
        file.seek(0)
        file.truncate()
        json.dump(world.kept, file)
    sys.stdout.write(out)
    sys.stderr.write(err)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
