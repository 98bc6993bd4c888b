"""Print the CPU seconds that a handler takes for the events of a file, one a line: `invocations.py ENTRY FILE FIRST`.

It runs in the package's folder as Lambda's runtime client does, without the client's own part: the emulator and the
client take as long as the handler. The first invocations do not count.
"""

import importlib
import json
import sys
import time
from pathlib import Path


class Context:
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:bench"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def main(entry: str, file: Path, first: int) -> float:
    sys.path[0] = str(Path.cwd())
    module, _, name = entry.rpartition(".")
    handler = getattr(importlib.import_module(module), name)
    events = file.read_text(encoding="utf-8").splitlines()
    spent = 0.0
    for number, event in enumerate(events):
        began = time.process_time()
        result = json.dumps(handler(json.loads(event), Context()))
        if number >= first:
            spent += time.process_time() - began
        found = json.loads(result)
        if found.get("statusCode", 200) != 200 or found.get("batchItemFailures"):
            raise SystemExit(f"the handler returned {result}")
    return spent


if __name__ == "__main__":
    seconds = main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    sys.stderr.write(f"{seconds}\n")
