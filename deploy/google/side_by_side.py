"""The same done to several things at once, in threads that never keep a command from ending."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def side_by_side(work: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """The answers in the order of `items`. Raises what `work` raises, of the first for which it does.

    An executor's threads would be waited for at the end of the process: a name that does not resolve takes its time.
    """
    found: dict[int, Answer] = {}
    failed: dict[int, BaseException] = {}

    def run(number: int) -> None:
        try:
            found[number] = work(items[number])
        except BaseException as error:  # raised again below, in the caller's thread
            failed[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(items))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[min(failed)]
    return [found[number] for number in range(len(items))]
