"""The kind `pagerduty`: alerts and change events through PagerDuty's Events API v2.

https://developer.pagerduty.com/docs/events-api-v2-overview
"""

import hashlib
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from functions.notify import bounded_texts, destination, http_kind, kind_settings, message_text
from shared import errors, jsontext
from shared.config.rules import SecretName
from shared.delivery import Delivery, Outcome, RetryLater

DEDUPES_REPEATS: Final = True
"""A repeat has the same `dedup_key`, and opens no second alert. Only a change event has none, and is recorded again."""
ACTIONS: Final = ("trigger", "acknowledge", "resolve", "change")
SEVERITIES: Final = ("critical", "error", "warning", "info")
MAX_TEXT_CHARACTERS: Final = 1_024
"""PagerDuty's limit for `summary`, to which the other texts are cut, too."""
MAX_KEY_CHARACTERS: Final = 255
MAX_DETAILS_BYTES: Final = 400_000
"""The event's data may have so many bytes, because PagerDuty accepts requests of at most 512 KB."""
_KEY_NAMES: Final = (b"routing_key", b"routing key")
"""The names of the integration key in the body of a 400. Without them, a 400 is about the event."""
OVERLOADED_SECONDS: Final = 120.0
"""The wait after a 429 without `Retry-After`: PagerDuty asks for a few minutes."""


class Settings(kind_settings.KindSettings):
    """An alert or a change event in PagerDuty.

    secret      the name of a secret with the integration key (routing key) of an Events API v2 integration
    region      `us` or `eu`: where the account is
    action      `trigger`, `acknowledge`, `resolve` or `change`, or a template that results in one of them
    dedup_key   a template: the key of the alert. A later `acknowledge` or `resolve` with the same key changes this
                alert. Default: the delivery's idempotency key, so that each event opens an alert of its own
    summary     a template; at most 1,024 characters, cut
    severity    `critical`, `error`, `warning` or `info`, or a template that results in one of them
    origin      a template: the affected system, PagerDuty's `source`
    component, group, class   templates
    details     send the event's data as the alert's details
    link        a template: a URL that is shown with the alert. If the event names the URL, it must be http or https
    """

    secret: SecretName
    region: Literal["us", "eu"] = "us"
    action: Annotated[str, kind_settings.one_of(*ACTIONS)] = "trigger"
    dedup_key: kind_settings.LineTemplate | None = None
    summary: kind_settings.LineTemplate = "{{ type }} from {{ source }}"
    severity: Annotated[str, kind_settings.one_of(*SEVERITIES)] = "error"
    origin: kind_settings.LineTemplate = "{{ source }}"
    component: kind_settings.LineTemplate | None = None
    group: kind_settings.LineTemplate | None = None
    class_: kind_settings.LineTemplate | None = Field(default=None, alias="class")
    details: bool = True
    link: kind_settings.LinkTemplate | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> "Settings":
        if self.dedup_key is None and self.action not in ("trigger", "change"):
            raise ValueError("dedup_key: must be set unless `action` is `trigger` or `change`: it names the alert")
        return self


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Return the request of an alert, of a change to one, or of a change event. Raises Permanent."""
    view = http_kind.template_view(delivery)
    action = kind_settings.rendered_choice("action", settings.action, view, ACTIONS)
    message: jsontext.JsonObject = {"routing_key": secrets[settings.secret][0]}  # the newest value of the secret
    if action != "change":
        message |= {"event_action": action, "dedup_key": _dedup_key(settings, view, attempt)}
    if action in ("trigger", "change"):
        message["payload"] = _payload(delivery, settings, view, is_alert=action == "trigger")
        if settings.link and (link := message_text.link_url(settings.link, view)):
            message["links"] = [{"href": link}]
    host = "events.pagerduty.com" if settings.region == "us" else "events.eu.pagerduty.com"
    path = "/v2/change/enqueue" if action == "change" else "/v2/enqueue"
    return http_kind.json_request(f"https://{host}{path}", message)


def _dedup_key(settings: Settings, view: jsontext.JsonObject, attempt: destination.Attempt) -> str:
    """Return the key of the alert. A key that is too long is replaced by its hash: two cut keys could be equal.

    Raises Permanent if the template's result is empty.
    """
    if settings.dedup_key is None:
        return attempt.idempotency_key
    key = http_kind.rendered_line("dedup_key", settings.dedup_key, view)
    if not key:
        raise errors.Permanent("template_failed", "template 'dedup_key': the result is empty; an alert needs a key")
    return key if len(key) <= MAX_KEY_CHARACTERS else hashlib.sha256(key.encode()).hexdigest()


def _payload(delivery: Delivery, settings: Settings, view: jsontext.JsonObject, is_alert: bool) -> jsontext.JsonObject:
    """Return the description of an alert, or of a change event, which has no severity. Raises Permanent."""
    event = delivery.event
    summary = _text("summary", settings.summary, view)
    origin = _text("origin", settings.origin, view)
    payload: jsontext.JsonObject = {
        # PagerDuty requires both. A template may have an empty result.
        "summary": summary or event.type,
        "source": origin or event.source_name,
        "timestamp": event.time or event.receivedat,
    }
    if is_alert:
        payload["severity"] = kind_settings.rendered_choice("severity", settings.severity, view, SEVERITIES)
        templates = {"component": settings.component, "group": settings.group, "class": settings.class_}
        for name, template in templates.items():
            if template is not None:
                payload[name] = _text(name, template, view)
    if settings.details:
        payload["custom_details"] = _details(event.data)
    return payload


def _text(name: str, template: str, view: jsontext.JsonObject) -> str:
    return bounded_texts.cut(http_kind.rendered_line(name, template, view), MAX_TEXT_CHARACTERS)


def _details(data: jsontext.Json) -> jsontext.Json:
    """Return the event's data as an object, which PagerDuty expects; its size alone if it is too large."""
    details: jsontext.JsonObject = data if isinstance(data, dict) else {"data": data}
    size = len(http_kind.json_body(details))
    return details if size <= MAX_DETAILS_BYTES else {"left_out": f"the event's data, {size} bytes"}


def outcome(response: http_kind.Response) -> Outcome:
    names_key = any(name in response.body for name in _KEY_NAMES)
    if response.status in {401, 403} or (response.status == 400 and names_key):
        return http_kind.held(
            response, "PagerDuty", "the integration key is wrong or its integration is gone: set the secret"
        )
    result = http_kind.outcome_by_status(response, "PagerDuty", failed={400})
    if response.status == 429 and isinstance(result, RetryLater) and result.after_seconds is None:
        return RetryLater(result.reason, OVERLOADED_SECONDS, result.answer)
    return result
