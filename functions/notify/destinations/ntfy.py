"""The kind `ntfy`: push notifications through ntfy.sh or an ntfy server of your own.

https://docs.ntfy.sh/publish/#publish-as-json
"""

from typing import Annotated, ClassVar, Final

from pydantic import Field, model_validator

from functions.notify import bounded_texts, destination, http_kind, kind_settings, message_text
from functions.notify.recipients.to_person import ToPerson
from shared.config.rules import SecretName
from shared.delivery import Delivery, Outcome
from shared.jsontext import JsonObject
from shared.templating.template import is_template

MAX_MESSAGE_BYTES: Final = 4_096
"""The server turns a longer message into an attachment."""
MAX_TITLE_CHARACTERS: Final = 250
MAX_SEQUENCE_CHARACTERS: Final = 64
"""The longest `sequence_id` that the server accepts."""
PRIORITIES: Final = ("1", "2", "3", "4", "5")
DEFAULT_PRIORITY: Final = 3


class Settings(kind_settings.KindSettings):
    """A push notification through ntfy.sh or an ntfy server of your own.

    server         the server's URL
    topic          the topic. On ntfy.sh anyone who knows it can read it: use `topic_secret` there
    topic_secret   the name of a secret that holds the topic
    to             a person in `people`, whose `ntfy` or `push` is the topic: `actor`, an expression or `{person: NAME}`
    secret         the name of a secret with an access token; with `username`, with the user's password
    title, text    templates; a text over 4,096 bytes is cut
    priority       1 to 5, or a template that results in one of them
    tags           tags and emoji short codes, each a template
    click          a template for the URL that a tap on the notification opens; if the event names it, it must be a web
                   address
    allow_private  allow a server at an address that is not public, and plain http
    """

    digests: ClassVar[bool] = True
    person_address: ClassVar[str] = "ntfy"

    server: kind_settings.ServerAddress = "https://ntfy.sh"
    topic: str | None = Field(default=None, pattern=r"^[-_A-Za-z0-9]{1,64}$", examples=["builds"])
    topic_secret: SecretName | None = None
    to: ToPerson | None = None
    secret: SecretName | None = None
    username: str | None = None
    title: kind_settings.LineTemplate = "{{ type }} from {{ source }}"
    text: kind_settings.TextTemplate = "{{ data }}"
    priority: Annotated[int | str, kind_settings.one_of(*PRIORITIES)] = DEFAULT_PRIORITY
    tags: Annotated[tuple[kind_settings.LineTemplate, ...], Field(max_length=10)] = ()
    click: kind_settings.LinkTemplate | None = None
    allow_private: bool = False

    @model_validator(mode="after")
    def _is_complete(self) -> "Settings":
        topics = [topic for topic in (self.topic, self.topic_secret, self.to) if topic is not None]
        if len(topics) != 1:
            raise ValueError("must have one of `topic`, `topic_secret` and `to`")
        if self.username and not self.secret:
            raise ValueError("`username` needs `secret`: the name of the secret with the password")
        return self


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Return the request that publishes the notification. A digest has its own title and text."""
    view = http_kind.template_view(delivery, attempt.person)
    digest = http_kind.digest_words(delivery)
    if digest:
        settings = _without_templates(settings)
        title, text = digest
    else:
        title = http_kind.rendered_line("title", settings.title, view)
        text = http_kind.rendered("text", settings.text, view)
    priority = kind_settings.rendered_choice("priority", str(settings.priority), view, PRIORITIES)
    message: JsonObject = {
        "topic": _topic(settings, secrets, attempt),
        "title": bounded_texts.cut(title, MAX_TITLE_CHARACTERS),
        "message": bounded_texts.cut(text, MAX_MESSAGE_BYTES, "bytes"),
        "priority": int(priority),
        # A repeated message with the same id updates the notification. Servers before 2.16 show another notification.
        "sequence_id": attempt.idempotency_key[-MAX_SEQUENCE_CHARACTERS:],
    }
    if tags := [http_kind.rendered_line("tags", tag, view) for tag in settings.tags]:
        message["tags"] = [*tags]
    if settings.click and (click := message_text.link_url(settings.click, view)):
        message["click"] = click
    headers = _authorization(settings, secrets)
    return http_kind.json_request(settings.server, message, *headers, allow_private=settings.allow_private)


def _without_templates(settings: Settings) -> Settings:
    """Return the settings for a digest, which has several events: without templates, which are about one event."""
    has_click_template = settings.click is not None and is_template(settings.click)
    click = None if has_click_template else settings.click
    priority = DEFAULT_PRIORITY if is_template(str(settings.priority)) else settings.priority
    tags = tuple(tag for tag in settings.tags if not is_template(tag))
    return settings.model_copy(update={"click": click, "priority": priority, "tags": tags})


def _topic(settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt) -> str:
    if settings.to is not None:
        return attempt.recipient_address("ntfy")
    return settings.topic or secrets[str(settings.topic_secret)][0]  # of a secret's values, the newest comes first


def _authorization(settings: Settings, secrets: http_kind.SecretValues) -> tuple[tuple[str, str], ...]:
    if settings.secret is None:
        return ()
    token_or_password = secrets[settings.secret][0]
    if settings.username is None:
        return (http_kind.bearer(token_or_password),)
    return (http_kind.basic(settings.username, token_or_password),)


def outcome(response: http_kind.Response) -> Outcome:
    advice = "correct `server`, or set a token or password that may publish to the topic"
    return http_kind.outcome_by_status(response, "ntfy", failed={400, 413}, held_advice=advice)
