"""The kind `push`: notifications in apps, through Firebase Cloud Messaging (HTTP v1).

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send
"""

import re
from functools import lru_cache
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from functions.notify import bounded_texts, destination, http_kind
from functions.notify.kind_settings import KindSettings, LineTemplate, TextTemplate
from functions.notify.recipients.to_person import ToPerson
from shared.config.rules import Seconds, SecretName
from shared.delivery import Delivery, Failed, Outcome
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json, JsonObject, base64url, objects_at
from shared.outgoing.auth import GoogleOAuthRequestAuth
from shared.templating.template import KNOWN, Template, is_template, url_segment

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
MAX_BYTES: Final = 4_096
"""The size of the keys and values of a message to one installation."""
MAX_TOPIC_BYTES: Final = 2_048
"""The size of the keys and values of a message to topics."""
RESERVED_BYTES: Final = 128
"""The bytes that are kept free for those keys and values that the sum in `_data` leaves out."""
MAX_COLLAPSE_BYTES: Final = 64
"""The size of an `apns-collapse-id`, by Apple's limit."""
MAX_TITLE_BYTES: Final = 200
MAX_TEXT_BYTES: Final = 1_000
MAX_TTL_SECONDS: Final = 28 * 86_400
TOPIC: Final = re.compile(r"[A-Za-z0-9_.~%-]{1,900}")
LINK_NAMES: Final = KNOWN | {"event_base64", "event_json"}
RESERVED_KEY: Final = re.compile(r"(from|message_type|link)$|google|gcm")

FAILED: Final = {
    "UNREGISTERED": "the app is no longer installed there: remove this token",
    "INVALID_ARGUMENT": "the token or the message is not valid",
    "SENDER_ID_MISMATCH": "the token belongs to another project",
}
"""https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode"""


@lru_cache(maxsize=1_000)
def _link(text: str) -> Template:
    """Return the template of a link, whose values are quoted. Raises TemplateFault."""
    return Template("link", text.strip(), known=LINK_NAMES, encode=url_segment)


def _checked_link(text: str) -> str:
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise ValueError("must begin with a scheme that is written out, such as myapp://")
    _link(text)
    return text


def _checked_key(key: str) -> str:
    if RESERVED_KEY.match(key):
        raise ValueError("must not be `link`, `from` or `message_type`, nor begin with google or gcm")
    return key


class Settings(KindSettings):
    """A notification in an app, through Firebase Cloud Messaging.

    project        the Firebase project's id
    secret         the name of a secret with a service account's key (JSON). Default: this function's own account
    token, fid     a template: the registration token of one installation, or its Firebase installation id
    topic          a template: the topic whose subscribers get the message
    condition      topics and operators: `'news' in topics && 'uk' in topics`
    to             a person in `people`, whose `push` is the token: `actor`, an expression or `{person: NAME}`
    title, text    templates of what is shown; cut after 200 and 1,000 bytes. With `text: null`, only `data` is sent
    data           texts for the app, each a template
    link           a deep link for the app, in `data.link`: a template such as `myapp://orders/{{ data.id }}`, whose
                   values are quoted. `{{ event_base64 }}` and `{{ event_json }}` are the event; where that is too
                   large, they are the event without its data
    priority       `high` wakes a sleeping device
    ttl            how long the message is kept for a device that is offline, at most 28 days
    validate_only  let Google check the message, and deliver it to nobody
    """

    digests: ClassVar[bool] = True
    extras: ClassVar[tuple[str, ...]] = ("crypto",)
    person_address: ClassVar[str] = "push"

    project: str = Field(pattern=r"^[a-z][a-z0-9:.-]{4,60}$", examples=["my-project"])
    secret: SecretName | None = None
    token: LineTemplate | None = None
    fid: LineTemplate | None = None
    topic: LineTemplate | None = None
    condition: str | None = Field(default=None, max_length=1_000)
    to: ToPerson | None = None
    title: LineTemplate = "{{ type }} from {{ source }}"
    text: TextTemplate | None = "{{ subject }}"
    data: dict[Annotated[str, AfterValidator(_checked_key)], TextTemplate] = Field(default={}, max_length=50)
    link: Annotated[str, AfterValidator(_checked_link)] | None = None
    priority: Literal["normal", "high"] = "high"
    ttl: Annotated[Seconds, Field(le=MAX_TTL_SECONDS)] | None = None
    validate_only: bool = False

    @model_validator(mode="after")
    def _has_one_target(self) -> "Settings":
        if len([each for each in (self.token, self.fid, self.topic, self.condition, self.to) if each]) != 1:
            raise ValueError("must have exactly one of `token`, `fid`, `topic`, `condition` and `to`")
        return self


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Return the request that sends the message. Raises Permanent.

    A repeated message replaces the notification on a device, because it has the same tag and collapse id.
    """
    del secrets  # the engine reads the account's key
    view = http_kind.template_view(delivery, attempt.person)
    digest = http_kind.digest_words(delivery)
    if digest:
        settings = _without_templates(settings, delivery.merged)
    is_urgent = settings.priority == "high"
    collapse_id = attempt.idempotency_key[-MAX_COLLAPSE_BYTES:]
    android: JsonObject = {"priority": settings.priority.upper()}
    apns_headers: JsonObject = {"apns-collapse-id": collapse_id, "apns-priority": "10" if is_urgent else "5"}
    if settings.ttl is not None:
        android["ttl"] = f"{int(settings.ttl)}s"
        apns_headers["apns-expiration"] = str(int(attempt.now + settings.ttl))
    message: JsonObject = {**_target(settings, view, attempt), "android": android}
    if settings.text is not None:
        message["notification"] = _notification(settings, settings.text, view, digest)
        message["apns"] = {"headers": apns_headers}
        android["notification"] = {"tag": collapse_id}
    if data := _data(delivery, settings, view, message.get("notification")):
        message["data"] = {**data}
    body: JsonObject = {"message": message, **({"validateOnly": True} if settings.validate_only else {})}
    url = f"https://fcm.googleapis.com/v1/projects/{settings.project}/messages:send"
    auth = GoogleOAuthRequestAuth(scheme="google_oauth", scope=SCOPE, secret=settings.secret)
    return http_kind.json_request(url, body, auth=(auth,))


def _notification(settings: Settings, text: str, view: JsonObject, digest: tuple[str, str] | None) -> JsonObject:
    """Return what the device shows: the title and the text of the digest, or by the templates. Raises Permanent."""
    title, body = digest or (
        http_kind.rendered_line("title", settings.title, view),
        http_kind.rendered("text", text, view),
    )
    return {
        "title": bounded_texts.cut(title, MAX_TITLE_BYTES, "bytes"),
        "body": bounded_texts.cut(body, MAX_TEXT_BYTES, "bytes"),
    }


def _data(delivery: Delivery, settings: Settings, view: JsonObject, notification: Json) -> dict[str, str]:
    """Return the texts for the app, and the link. Raises Permanent.

    The notification and the texts leave the room for the link.
    """
    data = {name: http_kind.rendered(f"data.{name}", text, view) for name, text in settings.data.items()}
    limit = MAX_TOPIC_BYTES if settings.topic or settings.condition else MAX_BYTES
    room = limit - RESERVED_BYTES - len(http_kind.json_body([notification, {**data}]))
    if room < 0:
        raise Permanent("output_too_large", f"push: a message has at most {limit} bytes")
    if settings.link is not None:
        data["link"] = _deep_link(settings.link, delivery.event, view, room)
    return data


def _without_templates(settings: Settings, count: int) -> Settings:
    """Return the settings for a digest of `count` events, without the templates, which are made for a single event."""
    fixed = {name: text for name, text in settings.data.items() if not is_template(text)}
    return settings.model_copy(update={"data": {**fixed, "count": str(count)}, "link": None})


def _target(settings: Settings, view: JsonObject, attempt: destination.Attempt) -> dict[str, Json]:
    """Return the field of the message that names its receivers. Raises Permanent."""
    if settings.to:
        return {"token": attempt.recipient_address("push")}
    if settings.condition:
        return {"condition": settings.condition}
    targets = {"token": settings.token, "fid": settings.fid, "topic": settings.topic}
    name, text = next((name, text) for name, text in targets.items() if text)
    value = http_kind.rendered_line(name, text, view)
    if not value or (name == "topic" and not TOPIC.fullmatch(value)):
        raise Permanent("template_failed", f"template {name!r}: must result in a {name}")
    return {name: value}


def _deep_link(text: str, event: Event, view: JsonObject, room: int) -> str:
    """Return the link with the whole event. If it has more than `room` characters, the event is without its data.

    Raises Permanent if it is still too long.
    """
    attributes: JsonObject = {
        "id": event.id,
        "type": event.type,
        "source": event.source_name,
        **({"subject": event.subject} if event.subject else {}),
    }
    for written in ({**attributes, "data": event.data}, attributes):
        encoded = http_kind.json_body(written)
        link = _link(text).render({**view, "event_base64": base64url(encoded), "event_json": encoded.decode()})
        if len(link) <= room:
            return link
    raise Permanent("output_too_large", f"template 'link': must have at most {room} characters here")


def outcome(response: http_kind.Response) -> Outcome:
    """Return the outcome by FCM's own code of an error, and otherwise by the status."""
    code = _error_code(response)
    if code in FAILED:
        reason = f"FCM rejects the message ({code}): {FAILED[code]}"
        return Failed("request_rejected", reason, response.excerpt)
    if code == "THIRD_PARTY_AUTH_ERROR":
        return http_kind.held(response, "FCM", "set a valid APNs or web push key in the Firebase project")
    advice = "correct `project`, enable the Firebase Cloud Messaging API, or give the account its role"
    return http_kind.outcome_by_status(response, "FCM", held_advice=advice)


def _error_code(response: http_kind.Response) -> str:
    """Return FCM's own code of the error. If there is none, return the general status of Google's APIs."""
    codes = [each.get("errorCode") for each in objects_at(response.member("error", "details"))]
    return str(next(filter(None, codes), response.member("error", "status")))
