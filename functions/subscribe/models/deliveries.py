"""Deliveries, attempts and messages, as the API shows them, and what asks for deliveries again."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from functions.subscribe.models.base import Input, Line, ListQuery, Output, Time, TypeName

State = Literal["pending", "waiting", "delivered", "failed"]
"""pending: an attempt is made now, or is about to be. waiting: for the next attempt, or for its time. failed: for good,
until it is sent again."""


class DeliveryQuery(ListQuery):
    """Filters of deliveries.

    state         as shown
    type          a type of events
    since, until  when the deliveries were made
    search        what an event's id, a message's id or a type begins with
    """

    state: State | None = None
    type: TypeName | None = None
    since: Time | None = None
    until: Time | None = None
    search: Annotated[Line, Field(max_length=200)] = ""


class DeliveryView(Output):
    """A message at one endpoint. `message_id` is null once the message is no longer kept, and `type` is empty then.

    `webhook_id` is what the endpoint gets as the header `webhook-id`.
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
    """The request as it is made now. Secrets and signatures are left out."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


class AttemptView(Output):
    """An attempt. `answer` is the beginning of what the endpoint answered."""

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
    """An event that the tenant was to get. `data` is null in lists, and where `truncated` says that it is too large."""

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


class RecoverInput(Input):
    """A time since which all that failed or was never sent is sent again.

    dry_run  only count
    cursor   of the answer before, to go on where it ended
    """

    since: Time
    until: Time | None = None
    dry_run: bool = False
    cursor: Annotated[str, Field(max_length=2_000)] = ""


class ReplayInput(RecoverInput):
    """A time of which all that was received is sent again; with `types` and `state`, only such."""

    types: Annotated[list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.*-]{1,128}$")]], Field(max_length=100)] = []
    state: State | None = None


class Replayed(Output):
    """The number of deliveries that were published, or with `dry_run` would be.

    count    of this answer alone
    is_more  the time of a request was over: ask again with `next` as `cursor`
    id       of the whole replay: a delivery is sent again once by it, however often a part of it is repeated
    """

    count: int
    is_more: bool
    id: str
    next: str | None = None


class Resent(Output):
    """The delivery that is sent again."""

    id: str
    replay_id: str
