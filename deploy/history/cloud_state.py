"""The state of a deployment in a cloud, over that cloud's ports."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from deploy.config.checkout import EXAMPLE_CONFIG, ROOT, choose_config
from deploy.history.cloud_journal import CloudJournal, Port, closing
from deploy.history.state import State, StoredBlobs
from shared.jsontext import JsonObject
from shared.ledger import Ledger
from shared.ports import Bus
from shared.store_ports import Documents, Records


class CloudLedger(Ledger, Port, Protocol): ...


class CloudBlobs(StoredBlobs, Port, Protocol): ...


class CloudBus(Bus, Port, Protocol): ...


class CloudRecords(Records, Port, Protocol): ...


class CloudDocuments(Documents, Port, Protocol): ...


class CloudPorts(Protocol):
    """The ports of one deployment. Each call makes a port of its own."""

    def journal(self) -> CloudJournal: ...

    def make_ledger(self) -> CloudLedger: ...

    def make_blobs(self) -> CloudBlobs: ...

    def make_bus(self) -> CloudBus: ...

    def make_records(self) -> CloudRecords: ...

    def make_documents(self) -> CloudDocuments: ...


@contextmanager
def open_cloud_state(ports: CloudPorts, environ: Mapping[str, str], beyond_reach: Sequence[str]) -> Iterator[State]:
    reader = ports.journal()
    try:
        yield State(
            reader=reader,
            ledger=lambda: closing(ports.make_ledger()),
            blobs=lambda: closing(ports.make_blobs()),
            bus=lambda: closing(ports.make_bus()),
            records=lambda: closing(ports.make_records()),
            documents=lambda: closing(ports.make_documents()),
            notify_slice=lambda: configured_slice(environ, "notify"),
            transform_slice=lambda: configured_slice(environ, "transform"),
            receive_slice=lambda: configured_slice(environ, "receive"),
            beyond_reach=beyond_reach,
        )
    finally:
        reader.close()


def configured_slice(environ: Mapping[str, str], function: str) -> JsonObject | None:
    """Return the function's slice of the operator's configuration; None if no configuration can be read."""
    from deploy.config.compiler import compile_config, read_config  # slow to import
    from deploy.config.faults import ConfigFaults

    path = choose_config(environ, ROOT)
    if path == ROOT / EXAMPLE_CONFIG:
        return None
    try:
        return compile_config(read_config(path, environ)).get(function)
    except ConfigFaults:
        return None
