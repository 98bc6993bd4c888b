"""The kind `apprise`: the long tail of services, through the library of that name (https://appriseit.com).

The library is imported when the first such destination is used, and of its plugins only that of the service. A plugin
blocks while it sends, so it runs in a thread; its requests come back to this process's one guarded fetch.

services.json lists the services that are reached by HTTP requests alone (guarded_session.py). Left out are plugins that
act on this machine or speak another protocol (syslog, dbus, mqtt, smpp, irc, xmpp …), and services that have a kind of
their own. A test compares the list with the installed library.
"""

import asyncio
import importlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, ClassVar, Final, NamedTuple, Protocol, cast
from urllib.parse import unquote

from functions.notify import bounded_texts, destination, http_engine, http_kind, kind_settings
from functions.notify.destination_secrets import DestinationSecrets, outcome_of_url_fault
from shared import credential_masks, errors, fetch, jsontext
from shared.config.rules import SecretName
from shared.delivery import Delivered, Delivery, Failed, Outcome, RetryLater, Unknown
from shared.templating.template import is_template

TYPES: Final = ("info", "success", "warning", "failure")


class Settings(kind_settings.KindSettings):
    """A message through one of 150 further services, such as Gotify, Mattermost, Matrix, Pushover or Zulip.

    secret         the name of a secret with the service's URL, as https://appriseit.com/services/ describes it. Give
                   each URL one recipient: after a partial failure, all recipients get the message again
    title, text    templates; a text that is too long for the service is cut
    type           `info`, `success`, `warning` or `failure`, or a template that results in one of them
    allow_private  allow a service at an address that is not public, and plain http
    """

    digests: ClassVar[bool] = True
    extras: ClassVar[tuple[str, ...]] = ("apprise",)
    example: ClassVar[jsontext.JsonObject] = {
        "secret": "gotify-url",
        "title": "Build {{ data.number }}",
        "type": "failure",
    }

    secret: SecretName
    title: kind_settings.LineTemplate = "{{ type }} from {{ source }}"
    text: kind_settings.TextTemplate = "{{ data }}"
    type: Annotated[str, kind_settings.one_of(*TYPES)] = "info"
    allow_private: bool = False


_SERVICES: Final = json.loads(Path(__file__).with_name("services.json").read_bytes())
OWN_KINDS: Final[Mapping[str, str]] = _SERVICES["own_kinds"]
"""The kind that serves a scheme which is left out for it."""
MODULES: Final[Mapping[str, str]] = {
    scheme: module for module, schemes in _SERVICES["schemes_by_module"].items() for scheme in schemes
}
"""The plugin's module in `apprise.plugins`, by scheme."""
THREADS: Final = 8
"""Messages that are sent at once, over all destinations of this kind."""
MAX_REQUESTS: Final = 20
"""Of one message: some services need a login, a look-up of the recipient and a request for each recipient."""


class Plugin(Protocol):
    """A service of the library, for one URL."""

    service_name: str
    title_maxlen: int
    body_maxlen: int
    overflow_mode: str
    throttle: Callable[..., None]  # type: ignore[explicit-any] # the library's

    def notify(self, body: str, title: str, notify_type: str, body_format: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Message:
    title: str
    text: str
    type: str


@dataclass(slots=True)
class Exchanges:
    """The requests of one attempt. `send` runs in the plugin's thread, and the guarded fetch in the event loop.

    deadline    a time of the event loop
    credentials texts that are masked in the responses

    Changed by `send`:

    responses   the responses so far, masked
    error       the error that decides the outcome if the plugin fails: the last one, but no other replaces one after
                which a request may have been accepted (Unanswered)
    is_started  a request was begun
    """

    context: destination.Context
    loop: asyncio.AbstractEventLoop
    deadline: float
    allow_private: bool
    credentials: tuple[str, ...] = ()
    responses: list[http_kind.Response] = field(default_factory=list)
    error: errors.HookchainError | None = None
    is_started: bool = False

    def send(self, request: fetch.Outgoing) -> fetch.Fetched:
        """Send a request of the plugin, and wait for the response. Raises HookchainError, which `error` keeps."""
        self.is_started = True
        left_seconds = self.deadline - self.loop.time()
        try:
            if left_seconds <= 0 or len(self.responses) >= MAX_REQUESTS:
                spent = f"after {len(self.responses)} requests the message needs more time, or too many requests"
                raise errors.Temporary("attempt_timeout", f"{spent}; at most {MAX_REQUESTS} are allowed")
            bounded = request._replace(
                timeout_seconds=left_seconds, max_bytes=http_kind.MAX_RESPONSE_BYTES, allow_private=self.allow_private
            )
            fetching = asyncio.run_coroutine_threadsafe(self.context.fetch().fetch(bounded), self.loop)
            # The fetch ends by itself in time. The second more is for a loop that is busy.
            fetched = fetching.result(left_seconds + 1.0)
        except TimeoutError as error:
            self.error = errors.Unanswered("host_unreachable", "no answer came in time")
            raise self.error from error
        except errors.HookchainError as error:
            if not isinstance(self.error, errors.Unanswered):  # what may have been accepted stays so, whatever follows
                self.error = error
            raise
        sent = [value.rpartition(" ")[2] for name, value in request.headers if name.lower() == "authorization"]
        # Only the stored response is masked: the plugin gets the body as it was received.
        body = credential_masks.without_credentials(fetched.body, [*self.credentials, *sent])
        self.responses.append(
            http_kind.Response(fetched.status, fetched.headers, body, self.context.clock.now(), fetched.is_cut)
        )
        return fetched


class AppriseDestination:
    """The destination. The services do not recognise a repeat."""

    dedupes_repeats = False

    def __init__(self, settings: Settings, context: destination.Context) -> None:
        self._settings = settings
        self._context = context
        self._attempts = http_engine.TimedAttempts(context, DestinationSecrets(context.secrets, [settings.secret]))

    async def attempt(self, delivery: Delivery, attempt: destination.Attempt) -> Outcome:
        """Send the delivery's message. As `Destination.attempt`."""

        def prepare(whole: Delivery, secrets: http_kind.SecretValues) -> Message:
            del secrets  # `_send` reads the URL
            with bounded_texts.bounded_templates():
                return message_of(whole, self._settings)

        return await self._attempts.make(delivery, attempt, prepare, self._send)

    async def _send(self, message: Message, deadline: float, secrets: http_kind.SecretValues) -> Outcome:
        """Send the message in a thread. Raises Temporary."""
        url = secrets[self._settings.secret][0].strip()
        scheme = url.partition("://")[0].lower()
        if scheme not in MODULES:
            raise http_kind.unusable_secret(self._settings.secret, _scheme_rule(scheme))
        loop = asyncio.get_running_loop()
        exchanges = Exchanges(self._context, loop, deadline, self._settings.allow_private, _credentials(url))
        sending = loop.run_in_executor(_threads(), _notify, scheme, url, message, exchanges)
        try:
            async with asyncio.timeout_at(deadline):
                notification = await sending
        except TimeoutError:
            # The thread goes on until the plugin returns. Each further request of it fails, because no time is left.
            if exchanges.is_started:
                return Unknown("no answer came in time")
            return RetryLater("no request was sent in time: all threads for this kind are busy")
        if notification is None:
            rule = "must be a URL that the library apprise accepts (try `apprise -vv URL`)"
            raise http_kind.unusable_secret(self._settings.secret, rule)
        try:
            return outcome_of(notification.service, notification.is_accepted, exchanges)
        except errors.Permanent as error:
            return outcome_of_url_fault(self._settings.secret, error)


def connect(name: str, settings: Settings, context: destination.Context) -> AppriseDestination:
    return AppriseDestination(settings, context)


def outcome_of(service: str, is_accepted: bool, exchanges: Exchanges) -> Outcome:
    """Return the outcome: by what the plugin says, or else by the error of its requests, or else by the last response.

    Raises Permanent for a request never sent.
    """
    last = exchanges.responses[-1] if exchanges.responses else None
    if is_accepted:
        return Delivered(last.excerpt if last else "")
    match exchanges.error:
        case errors.Unanswered() as error:
            return Unknown(error.detail)
        case errors.Permanent() as error:
            raise error
        case errors.Temporary() as error:
            return RetryLater(error.detail, http_engine.UNREACHABLE_SECONDS)
    if last is None:
        return Failed("request_rejected", f"apprise makes no request to {service} of this message")
    if last.status in {401, 403}:
        return http_kind.held(last, service, "correct the URL in the secret, or the rights of its token")
    outcome = http_kind.outcome_by_status(last, service)
    if isinstance(outcome, Delivered):  # the plugin read in the body that the service did not accept the message
        return RetryLater(f"{service} answered {last.status}, and its answer is not a success", answer=last.excerpt)
    return outcome


def message_of(delivery: Delivery, settings: Settings) -> Message:
    """Return the message of the delivery, by the templates or for a digest. Raises Permanent."""
    if digest := http_kind.digest_words(delivery):
        title, text = digest
        return Message(title, text, "info" if is_template(settings.type) else settings.type)
    view = http_kind.template_view(delivery)
    return Message(
        http_kind.rendered_line("title", settings.title, view),
        http_kind.utf8(http_kind.rendered("text", settings.text, view)).decode(),
        kind_settings.rendered_choice("type", settings.type, view, TYPES),
    )


def _credentials(url: str) -> tuple[str, ...]:
    """Return the URL and its parts, most of which are credentials."""
    return url, *[unquote(part) for part in re.split(r"[/:@?&=,;#]+", url) if part]


def _scheme_rule(scheme: str) -> str:
    if kind := OWN_KINDS.get(scheme):
        return f"must not begin with {scheme}://, which has a kind of its own, `{kind}`"
    return "must be the URL of a service that this kind supports, such as gotifys://HOST/TOKEN"


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="apprise")


class _Notification(NamedTuple):
    """The name of the service, and whether its plugin says that it accepted the message."""

    service: str
    is_accepted: bool


def _notify(scheme: str, url: str, message: Message, exchanges: Exchanges) -> _Notification | None:
    """Make the plugin for the URL and let it send the message. Return None if the URL is not valid.

    Runs in a thread. Raises Temporary if the library is not installed, and what the plugin raises before its first
    request.
    """
    plugin_type = _plugin_type(scheme)
    # Imported here, because it imports requests, which is slow.
    from functions.notify.destinations.apprise.guarded_session import CURRENT

    plugin = _plugin(plugin_type, url)
    if plugin is None:
        return None
    title = bounded_texts.cut(message.title, plugin.title_maxlen) if plugin.title_maxlen else message.title
    # A service without titles gets the title in the text, before a line break of two characters.
    room = plugin.body_maxlen - (0 if plugin.title_maxlen else len(title) + 2)
    token = CURRENT.set(exchanges.send)
    try:
        is_accepted = plugin.notify(bounded_texts.cut(message.text, room), title, message.type, "text")
        return _Notification(plugin.service_name, is_accepted)
    except Exception:
        # A plugin can raise any error, for instance for a response that it cannot read. Once a request has been made,
        # the outcome depends on the last response's status.
        if not exchanges.is_started:
            raise
        return _Notification(plugin.service_name, is_accepted=False)
    finally:
        CURRENT.reset(token)


@cache
def _plugin_type(scheme: str) -> type:
    """Import the plugin of the scheme, and nothing of the others."""
    try:
        module = importlib.import_module(f"apprise.plugins.{MODULES[scheme]}")
    except ImportError as error:
        rule = "the library apprise is not installed; bundle the function again, or install the extra `apprise`"
        raise errors.Temporary("destination_not_loaded", rule) from error
    from functions.notify.destinations.apprise.guarded_session import guard

    guard()
    # Switched to no level, because the library's messages contain data of events.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    return next(
        member
        for member in vars(module).values()
        if isinstance(member, type) and member.__module__ == module.__name__ and scheme in _schemes(member)
    )


def _schemes(plugin: type) -> tuple[str, ...]:
    """Return the schemes of a plugin's URLs. The library has each of its two attributes as one text or as several."""
    schemes: list[str] = []
    for name in ("protocol", "secure_protocol"):
        value = getattr(plugin, name, None) or ()
        schemes += [value] if isinstance(value, str) else value
    return tuple(schemes)


def _plugin(plugin_type: type, url: str) -> Plugin | None:
    """Return the service for the URL: without repeats, waits, redirects, and files of its own."""
    from apprise import AppriseAsset, PersistentStoreMode

    asset = AppriseAsset(http_redirects=False, storage_mode=PersistentStoreMode.MEMORY)
    plugin: Plugin | None = None
    with suppress(Exception):  # a plugin raises what it likes for a URL that it does not take
        parsed = plugin_type.parse_url(url)  # type: ignore[attr-defined] # each plugin has one
        plugin = cast("Plugin", plugin_type(**{**parsed, "asset": asset})) if parsed else None
    if plugin is not None:
        plugin.overflow_mode = "truncate"
        plugin.throttle = lambda *_, **__: None
    return plugin
