"""The three functions wired to Google Cloud's ports, all of it emulated on this machine."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from deploy.client.hookchain.auth import Bearer
from deploy.config.compiler import compile_config
from deploy.config.config_file import read_config_file
from deploy.dev.caught import Mailbox
from deploy.dev.pubsub.topology import Resource, topology
from shared.jsontext import Json, JsonObject
from shared.ports import TAP
from tests.fakes.pushes import push_environment, push_headers
from tests.gcp.firestore_server import FirestoreServer, Store
from tests.gcp.serving import served
from tests.gcp.storage_server import StorageServer
from tests.running.emulation import Emulation
from tests.running.ports import free_port
from tests.running.processes import Request, functions_framework, post, started
from tests.running.sending import send_until_confirmed

SECRET: Final = "a-secret-of-this-test"
PROJECT: Final = "a-project"
BUCKET: Final = "a-project-hookchain-blobs"
CONFIG: Final = """\
sources:
  shop: {auth: {scheme: bearer, secret: shop-key}, id: data.id}
routes:
  - {name: all, from: shop, to: inbox}
  - {name: large orders, from: shop, types: [order.large], to: inbox}
destinations:
  inbox:
    email:
      to: ["{{ data.to }}"]
      allow_recipients: [example.com]
      from: shop@example.com
      subject: "Order {{ data.id }}"
"""
SETTINGS: Final = {
    "GOOGLE_CLOUD_PROJECT": PROJECT,
    "HOOKCHAIN_PREFIX": "hookchain-",
    "HOOKCHAIN_FIRESTORE": "hookchain",
    "HOOKCHAIN_BUCKET": BUCKET,
    "SENDGRID_API_KEY": "SG.a-key-of-this-test",
    "SHOP_KEY": SECRET,
}
NOWHERE: Final = Request("/", b"", {})


@dataclass(frozen=True, slots=True)
class Deployed:
    folder: Path
    ports: dict[str, int]
    emulation: Emulation
    firestore: FirestoreServer
    storage: StorageServer
    environ: dict[str, str]
    """For the operator's commands."""

    def post(self, **event: Json) -> str:
        """The event's id."""
        whole: JsonObject = {"event": "order.created", "to": "ann@example.com", **event}
        outcome = send_until_confirmed(
            f"http://127.0.0.1:{self.ports['receive']}/shop", whole, secret=SECRET, auth=Bearer()
        )
        assert outcome.event_id is not None
        return outcome.event_id

    def mails(self) -> list[str]:
        with contextlib.closing(Mailbox(self.folder / "state")) as mailbox:
            return [mail.subject for mail in mailbox.list_mail(100)]

    def sweep(self) -> None:
        """As Cloud Scheduler does each minute."""
        headers = push_headers(self.folder / "state", self.ports["notify"])
        assert post(self.ports["notify"], Request("/sweep", b"", headers)) == 200


@contextlib.contextmanager
def deploy(
    folder: Path, store: Store, text: str = CONFIG, secrets: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Deployed]:
    """Deploy the configuration `text`. `secrets` are further variables of the functions."""
    config = folder / "hookchain.yaml"
    config.write_text(text, encoding="utf-8")
    ports = {name: free_port() for name in ("receive", "transform", "notify")}
    firestore, storage, emulation = FirestoreServer(store), StorageServer(BUCKET), Emulation(folder / "state")
    with ExitStack() as stack:
        stack.enter_context(emulation.running())
        tap = Resource(f"projects/{PROJECT}/topics/hookchain-{TAP}", {})
        resources = topology(PROJECT, "hookchain-", ports["transform"], ports["notify"])
        emulation.lay((*resources, tap))
        cloud = {
            "PUBSUB_EMULATOR_HOST": emulation.url.removeprefix("http://"),
            "FIRESTORE_EMULATOR_HOST": stack.enter_context(served(firestore.app())),
            "STORAGE_EMULATOR_HOST": "http://" + stack.enter_context(served(storage.app())),
        }
        for name, compiled in compile_config(read_config_file(config)).items():
            compiled_file = folder / f"{name}.json"
            compiled_file.write_text(json.dumps(compiled), encoding="utf-8")
            command = functions_framework(f"functions/{name}", name, ports[name])
            environ = {
                **cloud,
                **SETTINGS,
                **secrets,
                **push_environment(ports[name]),
                "SENDGRID_API_URL": emulation.url,
                "HOOKCHAIN_SLICE": str(compiled_file),
            }
            stack.enter_context(started(command, environ, ports[name], NOWHERE, ready="open"))
        operator = {**cloud, "HOOKCHAIN_CONFIG": str(config)}  # and not the file of the checkout
        yield Deployed(folder, ports, emulation, firestore, storage, operator)
    assert firestore.problems == []
    assert storage.problems == []
