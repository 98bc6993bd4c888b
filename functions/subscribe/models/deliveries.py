"""The models of deliveries and messages, and of sending them again."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from functions.subscribe.models.endpoints import Glob
from functions.subscribe.models.values import MAX_CURSOR_CHARACTERS, Input, Line, ListQuery, Output, Time, TypeName

State = Literal["pending", "waiting", "delivered", "failed"]
"""The state of a delivery.

pending    an attempt is made now, or is about to be made
waiting    it waits for its next attempt, or for its time
delivered  the endpoint has accepted it
failed     no further attempt is made, unless it is sent again
"""


class DeliveryQuery(ListQuery):
    """Filters of deliveries.

    state         the state of the deliveries
    type          the type of their events
    since, until  the time at which the deliveries were created
    search        the beginning of an event's id, a message's id or a type
    """

    state: State | None = None
    type: TypeName | None = None
    since: Time | None = None
    until: Time | None = None
    search: Annotated[Line, Field(max_length=200)] = ""


class DeliveryView(Output):
    """A message at one endpoint.

    message_id  null once the message is no longer kept; `type` is empty then
    webhook_id  the header `webhook-id` of the requests to the endpoint
    """

    id: str
    message_id: str | None
    webhook_id: str
    event_id: str
    type: str
    endpoint: str
    state: State
    attempt_number: int
    reason: str
    created_at: str
    updated_at: str
    next_attempt_at: str | None
    test: bool = False


class RequestView(Output):
    """The request as it would be made now. Secrets and signatures are left out."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


class AttemptView(Output):
    """An attempt. `answer` is the beginning of the endpoint's response."""

    number: int
    started_at: str
    duration_ms: int
    outcome: str
    reason: str
    answer: str


class DeliveryDetail(DeliveryView):
    """A delivery with its request (null once the message is gone) and its attempts, oldest first."""

    request: RequestView | None
    attempts: list[AttemptView]


class MessageView(Output):
    """An event for the tenant. `data` is null in lists, and also if it is too large: then `truncated` is true."""

    id: str
    event_id: str
    type: str
    received_at: str
    data: JsonValue = None
    truncated: bool = False
    test: bool = False


class MessageQuery(ListQuery):
    type: TypeName | None = None
    since: Time | None = None
    until: Time | None = None


class TestInput(Input):
    """A test event of this type. Its data is the type's first example, or is generated from the type's schema."""

    __test__ = False
    type: Annotated[Line, Field(min_length=1, max_length=128)]


class TestSent(Output):
    """The message that was published, and the delivery to look for.

    endpoint_enabled  false if the endpoint is disabled: it gets this test, which is tried once, and stays disabled
    """

    __test__ = False
    message_id: str
    delivery_id: str
    endpoint_enabled: bool


class RecoverInput(Input):
    """Send again the messages of a period, if they failed or were never sent.

    dry_run  only count them
    cursor   the `next` of the previous response, to continue where that one ended
    """

    since: Time
    until: Time | None = None
    dry_run: bool = False
    cursor: Annotated[str, Field(max_length=MAX_CURSOR_CHARACTERS)] = ""


class ReplayInput(RecoverInput):
    """Send again all messages of a period, or only those of some types or of one state."""

    types: Annotated[list[Glob], Field(max_length=100)] = []
    state: State | None = None


class Replayed(Output):
    """The deliveries that were published, or with `dry_run` would be.

    count    the number of them in this response alone
    is_more  true if there was no time for the rest: repeat the request with `next` as `cursor`
    id       the id of the whole replay, which sends each delivery again once, however often a request is repeated
    """

    count: int
    is_more: bool
    id: str
    next: str | None = None


class Resent(Output):
    """The delivery that is sent again."""

    id: str
    replay_id: str
