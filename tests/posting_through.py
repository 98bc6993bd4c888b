"""Posting to a `hookchain dev` without a pause, while something happens to it."""

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.processes import PATIENCE_SECONDS

GAP_SECONDS: Final = 0.02


@dataclass(slots=True)
class Posted:
    """The names of the events that were answered 200, and what the others were answered."""

    accepted: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


@contextmanager
def posting(port: int, password: str, keeps_alive: bool) -> Iterator[Posted]:
    """Post to /form while the block runs, each event over a connection of its own, and from a second thread over one
    that is kept where the server keeps it. No post is made twice."""
    posted, ended = Posted(), threading.Event()
    credentials = base64.b64encode(f"web:{password}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {credentials}"}

    def post(name: str, connection: http.client.HTTPConnection) -> None:
        try:
            connection.request("POST", "/form", json.dumps({"customerName": name}), headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as fault:
            posted.others.append(f"{name}: {fault!r}")
            connection.close()
            return
        (posted.accepted if answer.status == 200 else posted.others).append(name)

    def post_on(thread: str, is_kept: bool) -> None:
        connection, number = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS), 0
        while not ended.wait(GAP_SECONDS):
            post(f"{thread}{number}", connection)
            number += 1
            if not is_kept:
                connection.close()
        connection.close()

    threads = [threading.Thread(target=post_on, args=("new", False))]
    threads += [threading.Thread(target=post_on, args=("kept", True))] if keeps_alive else []
    for thread in threads:
        thread.start()
    try:
        yield posted
    finally:
        ended.set()
        for thread in threads:
            thread.join()
