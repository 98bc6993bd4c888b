"""Publishing deliveries to endpoints again."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from functions.subscribe.kept_messages import event_in
from functions.subscribe.problems import ApiProblem
from functions.subscribe.service import Service
from functions.subscribe.settings import SubscribeSettings
from shared.delivery import Delivery, delivery_message
from shared.ports import DELIVERIES
from shared.subscribers.model import Endpoint, Message
from shared.subscribers.names import EndpointName
from shared.times import rfc3339

Force: TypeAlias = Literal["failed", "true"]
"""failed: only where the delivery has failed, or was never made. true: where it was delivered, too."""
ATTEMPT_NOW: Final[Mapping[str, str]] = MappingProxyType({"attempt": "now"})
"""The attribute of a delivery that ends its endpoint's pause after failures, because a person waits for it."""


class MessageToSend(NamedTuple):
    """A message to send again. `due` is the fence of its delivery if that waits, so that it waits no longer."""

    message: Message
    due: int | None = None


def verify_active(endpoint: Endpoint, settings: SubscribeSettings) -> None:
    """Raises ApiProblem (`endpoint_inactive`) for an endpoint that gets nothing."""
    if not endpoint.is_enabled:
        raise ApiProblem("endpoint_inactive", "the endpoint is disabled; enable it first")
    verify_proven(endpoint, settings)


def verify_proven(endpoint: Endpoint, settings: SubscribeSettings) -> None:
    """Raises ApiProblem (`endpoint_inactive`) for an endpoint that has yet to prove that it wants events."""
    if settings.verify != "none" and not endpoint.is_verified:
        raise ApiProblem("endpoint_inactive", "the endpoint is not verified; verify it first")


async def publish_again(
    service: Service, chosen: Sequence[MessageToSend], tenant: str, endpoint: str, replay: str, force: Force
) -> None:
    """Publish a delivery of each message to the endpoint. A replay brings each at most once. Raises Temporary.

    The first ends the pause of an endpoint that kept failing: if it fails, the others wait for the next.
    """
    now, attributes = rfc3339(service.clock.now()), {"replay": replay, "force": force}
    await service.bus.publish(
        DELIVERIES,
        [
            delivery_message(
                Delivery(event_in(message), message.route, str(EndpointName(message.destination, tenant, endpoint))),
                message.event.encode("utf-8", "surrogatepass"),
                now,
                {**attributes, **({} if due is None else {"due": str(due)}), **({} if number else ATTEMPT_NOW)},
            )
            for number, (message, due) in enumerate(chosen)
        ],
    )
