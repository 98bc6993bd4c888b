"""Record the state that released versions leave: `python -m tests.upgrade.record`, in a checkout with its history.

Each version's own code writes it (write_state.py), into SQLite, a Firestore and a DynamoDB that run here.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from shared.cloud.aws.tables import TABLES
from shared.jsontext import Json, JsonObject
from tests.aws.dynalite import dynalite
from tests.aws.dynamo import create_table, raw_items
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_server import FirestoreServer
from tests.gcp.serving import served
from tests.running.processes import ROOT

STATES: Final = ROOT / "tests" / "upgrade" / "states"
FILES: Final = ("ledger.db", "journal.db")
RELEASED: Final = {"3ce00f9f": ("release", "sendgrid"), "6ebda0a5": ("resume", "mail_rejected")}
"""For each version, the command that resumed a destination, and the code of a rejected mail."""
WITHOUT_AWS: Final = ("3ce00f9f",)
PREFIX: Final = "released-"


def record(commit: str, folder: Path) -> None:
    checkout = folder / commit
    subprocess.run(["git", "worktree", "add", "--force", "--detach", str(checkout), commit], cwd=ROOT, check=True)
    try:
        local = folder / "state"
        local.mkdir()
        messages = written(checkout, commit, "local", str(local))
        dumped = {name: dump(local / name) for name in FILES}
        keep(commit, "local", dumped)
        keep(commit, "messages", messages)
        store = MemoryStore()
        with served(FirestoreServer(store).app()) as host:
            written(checkout, commit, "firestore", f"http://{host}")
        keep(commit, "firestore", store.documents)
        if commit not in WITHOUT_AWS:
            with dynalite(ROOT / "node_modules" / "dynalite") as place:
                for table in TABLES:
                    create_table(place, table, PREFIX)
                written(checkout, commit, "dynamo", str(place.endpoint))
                keep(commit, "dynamo", {table.name: raw_items(place, table, PREFIX) for table in TABLES})
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(checkout)], cwd=ROOT, check=True)


def written(checkout: Path, commit: str, kind: str, place: str) -> JsonObject:
    """Return the messages that the version publishes."""
    script = ROOT / "tests" / "upgrade" / "write_state.py"
    command = [sys.executable, str(script), kind, place, *RELEASED[commit]]
    environ = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, cwd=checkout, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    messages: JsonObject = json.loads(done.stdout.splitlines()[-1])
    return messages


def dump(path: Path) -> list[Json]:
    """Return the file's statements."""
    with closing(sqlite3.connect(path)) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        return [f"PRAGMA user_version = {version};", *database.iterdump()]


def keep(commit: str, kind: str, content: object) -> None:
    path = STATES / f"{commit}-{kind}.json"
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        for released in RELEASED:
            (each := Path(temporary, released)).mkdir()
            record(released, each)
