"""The kinds that write to Google Sheets and Docs, connected to the stand-in, and attempts at their deliveries."""

from dataclasses import replace
from types import ModuleType

from functions.notify.destination import Attempt, Context, Destination
from functions.notify.registry import Destinations, read_destinations
from shared.delivery import Delivery, Outcome
from shared.jsontext import Json, JsonObject
from shared.outgoing.authenticator import CloudIdentity
from tests.fakes.destinations import a_context
from tests.fakes.notifier import DELIVERY, FakeNotifier
from tests.stand_ins.google_workspace import Workspace


async def google_token(_: str) -> str:
    return "ya29.example"


def context_of(workspace: Workspace) -> Context:
    return replace(a_context(fetch=workspace), cloud=lambda: CloudIdentity(access_token=google_token))


def connected(kind: ModuleType, workspace: Workspace, settings: Json) -> Destination:
    destination: Destination = kind.connect("crm", kind.Settings.model_validate(settings), context_of(workspace))
    return destination


def delivery_with(data: Json, number: int = 1) -> Delivery:
    return replace(DELIVERY, event=replace(DELIVERY.event, id=f"e{number}", data=data))


async def attempted(
    destination: Destination, data: "Json | Delivery" = None, number: int = 1, timeout_seconds: float = 15.0
) -> Outcome:
    """Return the outcome of the attempt with this number."""
    delivery = data if isinstance(data, Delivery) else delivery_with(data)
    attempt = Attempt(delivery.id, number, 0, 1_790_000_000.0, timeout_seconds)
    return await destination.attempt(delivery, attempt)


def notifier(workspace: Workspace, kind: str, settings: JsonObject) -> FakeNotifier:
    """Return notify with this destination as `crm`, which is that of the tests' delivery."""
    crm: JsonObject = {
        "kind": kind,
        "settings": settings,
        "retry_seconds": [5, 300, 300, 300],
        "timeout_seconds": 15,
        "on_unknown": "resend",
    }
    return FakeNotifier(
        destinations=Destinations(read_destinations({"destinations": {"crm": crm}}), context_of(workspace))
    )
