"""Python runs this when it starts and finds it on PYTHONPATH: the pipe as it is, with one kind of destination more.

notify's clock runs faster, so that a lease of half a minute is over in a second or two.
"""

import os
import time
from pathlib import Path

import functions.notify.destinations
from shared.cloud import platform

functions.notify.destinations.__path__.append(str(Path(__file__).parent / "kinds"))

if os.environ.get("HOOKCHAIN_SLICE", "").endswith("notify.json"):
    BEGAN = float(os.environ["POISON_BEGAN"])
    SPEED = float(os.environ["POISON_SPEED"])

    class FastClock:
        def now(self) -> float:
            return BEGAN + (time.time() - BEGAN) * SPEED

    vars(platform)["SystemClock"] = FastClock
