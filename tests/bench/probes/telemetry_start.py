"""Print the milliseconds of CPU to import what exports spans and metrics, after all that transform imports anyway."""

import importlib
import time
from typing import Final

BEFORE: Final = ("functions.transform.entry", "functions.transform.wiring", "shared.outgoing.http_client")
ADDED: Final = ("functions.transform.tracing", "shared.telemetry.exporter", "shared.telemetry.metrics")


def main() -> float:
    for name in BEFORE:
        importlib.import_module(name)
    began = time.process_time()
    for name in ADDED:
        importlib.import_module(name)
    return (time.process_time() - began) * 1_000


if __name__ == "__main__":
    print(main())
