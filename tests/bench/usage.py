"""What an event uses of what Google Cloud bills, measured: `python -m tests.bench.usage` prints it for a million.

The whole pipe runs as in `make bench`, with ledger and journal in a Firestore of the tests, which counts documents as
Google bills them; it needs what `make test` installs. `--write` puts the figures into deploy/gcp/usage.json, from which
`hookchain costs` reckons, and the table into deploy/gcp/README.md.
"""

import argparse
import json
import sqlite3
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from deploy.gcp.usage import USAGE_FILE, in_readme, usage_table
from deploy.local.pubsub.messages import Content, content_of
from deploy.local.pubsub.store import FILE_NAME
from deploy.local.sendgrid.mailbox import Mailbox
from shared.settings import LOCAL_PROJECT
from tests.bench.pipe import CONFIG, REQUEST, SECRET, cpu_seconds
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_server import FirestoreServer
from tests.gcp.serving import served
from tests.stack import Stack, running

README: Final = Path(__file__).resolve().parents[2] / "deploy" / "gcp" / "README.md"
WARM_UP: Final = 100
SENDERS: Final = 4
TOPICS: Final = ("events", "deliveries")
ID_AND_TIME_BYTES: Final = 40
"""Of a message, beside its data and attributes: https://cloud.google.com/pubsub/pricing"""


def measure(events: int) -> dict[str, float]:
    """Of one event, which one route takes to one mail."""
    store = MemoryStore()
    server = FirestoreServer(store)
    with served(server.app()) as host, _stack(host) as stack:
        _post(stack, WARM_UP)
        for topic in TOPICS:
            _keep_all(stack, topic)
        counts, cpu = dict(server.counts), cpu_seconds(stack)
        _post(stack, events)
        time.sleep(1.0)  # what is written after the mail is accepted
        spent = cpu_seconds(stack) - cpu
        used = {name: count - counts.get(name, 0) for name, count in server.counts.items()}
        messages, size = _messages(stack)
    return {
        "requests": (events + messages) / events,
        "bus_bytes": 2 * size / events,
        # Only the sweep queries, here each second and there each minute, however many events there are.
        "documents_read": (used["documents read"] - used.get("runQuery", 0)) / events,
        "documents_written": used["documents written"] / events,
        "documents_kept": len(store.documents) / (events + WARM_UP),
        "cpu_seconds": spent / events,
    }


@contextmanager
def _stack(firestore: str) -> Iterator[Stack]:
    environ = {"SHOP_KEY": SECRET, "FIRESTORE_EMULATOR_HOST": firestore, "HOOKCHAIN_FIRESTORE": "hookchain"}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), CONFIG, environ) as stack:
        yield stack


def _post(stack: Stack, events: int) -> None:
    """A few at once; returns when the last is mailed."""
    before = _mails(stack)
    with ThreadPoolExecutor(SENDERS) as pool:
        for _ in pool.map(lambda number: _post_one(stack, number), range(events)):
            pass
    deadline = time.monotonic() + 120
    while _mails(stack) < before + events:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{_mails(stack) - before} of {events} events were mailed")
        time.sleep(0.05)


def _post_one(stack: Stack, number: int) -> None:
    body = REQUEST.body.replace(b"12345", str(time.time_ns() + number).encode())
    web = urllib.request.Request(f"{stack.url}{REQUEST.path}", body, dict(REQUEST.headers))
    with urllib.request.urlopen(web, timeout=10):
        pass


def _mails(stack: Stack) -> int:
    with closing(Mailbox(stack.state)) as mailbox:
        return mailbox.count()


def _keep_all(stack: Stack, topic: str) -> None:
    """A subscription that nobody pulls from: what is published stays, to be counted."""
    project = f"http://127.0.0.1:{stack.base + 5}/v1/projects/{LOCAL_PROJECT}"
    body = json.dumps({"topic": f"projects/{LOCAL_PROJECT}/topics/{topic}"}).encode()
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{project}/subscriptions/usage-{topic}", body, headers, method="PUT")
    ):
        pass


def _messages(stack: Stack) -> tuple[int, int]:
    """How many were published, and their bytes as Google counts them: data, attributes, id and time."""
    with closing(sqlite3.connect(f"file:{stack.state / FILE_NAME}?mode=ro", uri=True)) as db:
        contents = [content_of(text) for (text,) in db.execute("SELECT content FROM message")]
    return len(contents), sum(_billed_bytes(content) for content in contents)


def _billed_bytes(content: Content) -> int:
    attributes = content.get("attributes", {})
    data = len(content.get("data", "")) * 3 // 4
    return data + sum(len(name) + len(value) for name, value in attributes.items()) + ID_AND_TIME_BYTES


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m tests.bench.usage", description=__doc__)
    words.add_argument("--events", type=int, default=5000, help="to measure with (default 5000)")
    words.add_argument("--write", action="store_true", help="keep the figures, and the table on the page")
    options = words.parse_args()
    found = {name: float(f"{value:.3g}") for name, value in measure(options.events).items()}
    print(usage_table(found))
    if options.write:
        USAGE_FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        README.write_text(in_readme(README.read_text(encoding="utf-8"), found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
