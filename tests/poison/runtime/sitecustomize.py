"""Python runs this when it starts and finds it on PYTHONPATH: the handlers as they are, with one poison for each.

An event whose text has `poison of transform` ends the runtime that takes it, and so does a delivery with `poison of
notify`, as the kernel ends a process that takes too much memory.
"""

import os
import signal

from shared.push import Push

NAME = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
POISON = f"poison of {NAME}".encode()


def end_if_poison(push: Push) -> None:
    if POISON in push.data:
        os.kill(os.getpid(), signal.SIGKILL)


if NAME == "transform":
    from functions.transform import entry as transform_entry

    TAKE_EVENT = transform_entry.take_event

    async def take_event(service: transform_entry.Service, push: Push, started: float) -> bool:
        end_if_poison(push)
        return await TAKE_EVENT(service, push, started)

    vars(transform_entry)["take_event"] = take_event

if NAME == "notify":
    from functions.notify import entry as notify_entry

    TAKE_DELIVERY = notify_entry.take_delivery

    async def take_delivery(service: notify_entry.MakeService, push: Push, started: float) -> bool:
        end_if_poison(push)
        return await TAKE_DELIVERY(service, push, started)

    vars(notify_entry)["take_delivery"] = take_delivery
