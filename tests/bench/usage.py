"""What an event uses of what Google Cloud bills, measured: `python -m tests.bench.usage` prints it for a million.

The functions run on emulated Google Cloud, whose Firestore counts documents as Google bills them; it needs what
`make test` installs. `--write` puts the figures into deploy/gcp/usage.json, from which `hookchain costs` reckons, and
the table into deploy/gcp/README.md.
"""

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

from deploy.config.compiler import compile_file
from deploy.dev.caught import Mailbox
from deploy.dev.pubsub.messages import Content, content_of
from deploy.dev.pubsub.store import FILE_NAME
from deploy.gcp.costs import COSTS, resources, rows
from deploy.gcp.resource import Resource
from deploy.topology.estimate import Traffic, amount_text, rows_in_use
from shared.cloud.gcp.collections import EVENTS, LEDGER, UNINDEXED
from shared.jsontext import Json, JsonObject, mapping_at
from shared.retention import Retention
from tests.bench.cpu import cpu_seconds_of
from tests.gcp.deployment import PROJECT, Deployed, deploy
from tests.gcp.firestore_memory import MemoryStore

README: Final = Path(__file__).resolve().parents[2] / "deploy" / "gcp" / "README.md"
BEGIN: Final = "<!-- usage: written by `python -m tests.bench.usage --write` -->"
END: Final = "<!-- end of usage -->"
SPARSE: Final = Traffic(1_000)
STEADY: Final = Traffic(1_000_000)
WARM_UP: Final = 100
SENDERS: Final = 4
TOPICS: Final = ("events", "deliveries")
COLLECTIONS: Final = (LEDGER, EVENTS)
CALLS: Final = ("batchGet", "commit", "runQuery", "runAggregationQuery")
ID_AND_TIME_BYTES: Final = 40
"""Of a message, beside its data and attributes: https://cloud.google.com/pubsub/pricing"""


def default_plan() -> tuple[Resource, ...]:
    """Return the plan without a configuration file: one source, one route, one mail."""
    environ = {"EMAIL_ADDRESS": "you@example.com"}
    return resources(compile_file(None, environ), environ)


def usage_table(usage: Mapping[str, float]) -> str:
    """Return the usage in a month of sparse and of steady traffic, as a Markdown table."""
    plan = default_plan()
    sparse, steady = (rows_in_use(rows(plan, usage, traffic, Retention())) for traffic in (SPARSE, STEADY))
    head = [
        "| a month, one route and one mail each | 1,000 events, one by one | a million, spread evenly |",
        "|---|---:|---:|",
    ]
    pairs = zip(sparse, steady, strict=True)
    return "\n".join([*head, *(f"| {one.what} | {amount_text(one)} | {amount_text(many)} |" for one, many in pairs)])


def in_readme(page: str, usage: Mapping[str, float]) -> str:
    """Return the page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{usage_table(usage)}\n{END}{after}"


def measure(events: int) -> dict[str, float]:
    """Of one event of some 200 bytes, which one route takes to one mail."""
    store = MemoryStore()
    with tempfile.TemporaryDirectory() as folder, deploy(Path(folder), store) as deployed:
        _post(deployed, "warm", WARM_UP)
        for topic in TOPICS:
            _keep_all(deployed, topic)
        before, cpu, documents = dict(deployed.firestore.counts), _cpu_seconds(deployed), dict(store.documents)
        _post(deployed, "event", events)
        spent = _cpu_seconds(deployed) - cpu
        used = {name: count - before.get(name, 0) for name, count in deployed.firestore.counts.items()}
        messages, size = _messages(deployed)
    kept = [document for name, document in store.documents.items() if name not in documents]
    stored = {name: sum(stored_bytes(each) for each in kept if _collection(each) == name) for name in COLLECTIONS}
    return {
        "requests": (events + messages) / events,
        "bus_bytes": 2 * size / events,
        "documents_written": used["documents written"] / events,
        "documents_kept": len(kept) / events,
        "database_calls": sum(used.get(name, 0) for name in CALLS) / events,
        **{f"bytes_{name}": size / events for name, size in stored.items()},
        "cpu_seconds": spent / events,
    }


def _post(deployed: Deployed, name: str, events: int) -> None:
    """A few at once; returns when the last is mailed and what is written after it."""
    before = _mails(deployed)
    with ThreadPoolExecutor(SENDERS) as pool:
        for _ in pool.map(lambda number: deployed.post(id=f"{name}-{number}", note="n" * 100), range(events)):
            pass
    deadline = time.monotonic() + 120
    while _mails(deployed) < before + events:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{_mails(deployed) - before} of {events} events were mailed")
        time.sleep(0.05)
    time.sleep(1.0)


def _mails(deployed: Deployed) -> int:
    with closing(Mailbox(deployed.folder / "state")) as mailbox:
        return mailbox.count()


def _cpu_seconds(deployed: Deployed) -> float:
    """Of the functions' processes, which have their port among their arguments."""
    table = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.strip().partition(" ") for line in table.splitlines()]
    ports = [f"--port {port} " for port in deployed.ports.values()]
    return cpu_seconds_of(int(pid) for pid, _, command in rows if any(port in f"{command} " for port in ports))


def _keep_all(deployed: Deployed, topic: str) -> None:
    """A subscription that nobody pulls from: what is published stays, to be counted."""
    subscription = f"/v1/projects/{PROJECT}/subscriptions/usage-{topic}"
    status, _ = deployed.emulation.ask("PUT", subscription, {"topic": f"projects/{PROJECT}/topics/hookchain-{topic}"})
    assert status == 200, f"{subscription} was answered {status}"


def _messages(deployed: Deployed) -> tuple[int, int]:
    """How many were published, and their bytes as Google counts them: data, attributes, id and time."""
    with closing(sqlite3.connect(f"file:{deployed.folder / 'state' / FILE_NAME}?mode=ro", uri=True)) as db:
        contents = [content_of(text) for (text,) in db.execute("SELECT content FROM message")]
    return len(contents), sum(_billed_bytes(content) for content in contents)


def _billed_bytes(content: Content) -> int:
    attributes = content.get("attributes", {})
    data = len(content.get("data", "")) * 3 // 4
    return data + sum(len(name) + len(value) for name, value in attributes.items()) + ID_AND_TIME_BYTES


def _collection(document: JsonObject) -> str:
    return str(document["name"]).split("/")[-2]


def stored_bytes(document: JsonObject) -> int:
    """Of the document and its index entries, two a field: https://cloud.google.com/firestore/docs/storage-size"""
    name = sum(len(part) + 1 for part in str(document["name"]).split("/documents/")[1].split("/")) + 16
    fields = mapping_at(document, "fields")
    sizes = {field: len(field) + 1 + _value_bytes(value) for field, value in fields.items()}
    indexed = [size for field, size in sizes.items() if field not in UNINDEXED[_collection(document)]]
    return name + sum(sizes.values()) + 32 + 2 * sum(2 * name + size + 32 for size in indexed)


def _value_bytes(value: Json) -> int:
    [(kind, content)] = mapping_at(value).items()
    match kind:
        case "stringValue":
            return len(str(content).encode()) + 1
        case "bytesValue":
            return len(str(content)) * 3 // 4
        case "booleanValue" | "nullValue":
            return 1
        case "integerValue" | "doubleValue" | "timestampValue":
            return 8
        case _:
            return len(json.dumps(content))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.usage", description=__doc__)
    parser.add_argument("--events", type=int, default=5000, help="to measure with (default 5000)")
    parser.add_argument("--write", action="store_true", help="keep the figures, and the table on the page")
    options = parser.parse_args()
    found = {name: float(f"{value:.3g}") for name, value in measure(options.events).items()}
    print(usage_table(found))
    if options.write:
        COSTS.usage_file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        README.write_text(in_readme(README.read_text(encoding="utf-8"), found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
