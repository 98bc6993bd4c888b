"""Calls made at once, each in a thread of its own."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def run_in_parallel(work: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """Call `work` for all items at once, and return the results in their order. Raises the first item's exception.

    These are daemon threads: the process would wait for those of an executor, even for a name that does not resolve.
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
