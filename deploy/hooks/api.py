"""Requests to a provider's API for hooks, over the guarded HTTP client."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlencode

from deploy.hooks.kind import Body, Hook, HookKind, Operation, Wanted
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import printable
from shared import credential_masks, errors, times
from shared.fetch import REDIRECTS, Fetch, Fetched, Outgoing
from shared.jsontext import Json, base64_text, from_json, mapping_at, objects_at, texts_json, value_at, values_in

PAGE_SIZE: Final = 100
"""The most hooks on a page that the providers with pages allow."""
MAX_PAGES: Final = 20
"""The most pages that are read. A longer list is a fault, because a part of it cannot be compared."""
_FORM_ERRORS: Final = (KeyError, TypeError, ValueError)
"""The errors that a kind raises while it reads an answer of another form than the documented one."""
_MAX_MESSAGE_CHARACTERS: Final = 200
_MESSAGES: Final[tuple[tuple[str | int, ...], ...]] = (
    ("message",),
    ("error", "message"),
    ("errors", 0, "detail"),
    ("errors", 0, "message"),
    ("description",),
    ("error",),
)
"""The paths at which providers put the message of an error, in the order of the search."""


class Gone(CommandError):
    """An error: the place or the hook does not exist any more, or not for this token."""


class LostAnswer(Exception):
    """An error: a request that changes a hook was sent, but it is unknown whether the provider made the change."""


@dataclass(frozen=True, slots=True)
class HookApi:
    """The API of one provider with the operator's token.

    name           the source's name, for messages
    token_name     the name of the secret that has the token
    url            the base URL of the API; empty for the kind's
    allow_private  the API may have an address that is not public
    hidden         secrets that are masked in the provider's texts, besides the token. Each value that becomes known
                   during the calls is added
    """

    name: str
    kind: HookKind
    fetch: Fetch
    token: str
    token_name: str
    url: str = ""
    allow_private: bool = False
    hidden: set[str] = field(default_factory=set)
    now: Callable[[], float] = time.time

    async def hooks(self, at: str, our_urls: Sequence[str] = ()) -> list[Hook]:
        """Return all hooks at the place, with our URLs in our form. Raises CommandError, and Gone."""
        return [each._replace(url=self.our_form(each.url, our_urls)) for each in await self._all_hooks(at)]

    def our_form(self, url: str, our_urls: Sequence[str]) -> str:
        """Return the one of `our_urls` that is the same URL, else `url`.

        A provider may show our URL with another case or a slash at the end.
        """
        return next((ours for ours in our_urls if self.kind.is_same_url(ours, url)), url)

    async def _all_hooks(self, at: str) -> list[Hook]:
        """Return the hooks of all pages. Raises CommandError for more than MAX_PAGES, and Gone."""
        hooks: list[Hook] = []
        for page in range(1, MAX_PAGES + 1):
            query = f"?per_page={PAGE_SIZE}&page={page}" if self.kind.is_paged else ""
            answer = await self._send("list", at, Wanted(self.name, ""), query)
            if self.kind.has_more(answer):
                break  # a list that is not complete cannot be compared
            listed = value_at(answer, *self.kind.list_path)
            if listed is None and self.kind.omits_empty_list:
                return hooks
            entries = [listed] if self.kind.is_single else listed
            hooks += self._read("list", entries)
            if not self.kind.api_selects_events:
                return await self._with_selected_events(at, hooks)
            if not self.kind.is_paged or len(objects_at(entries)) < PAGE_SIZE:
                return hooks
        raise CommandError(f"{self.name}: {self.kind.title} lists more hooks than can be compared; delete unused ones")

    async def _with_selected_events(self, at: str, hooks: list[Hook]) -> list[Hook]:
        answer = await self._send("events", at, Wanted(self.name, ""))
        try:
            selected = self.kind.read_selected_events(answer)
        except _FORM_ERRORS as error:
            raise self._unknown_form("events") from error
        return [each._replace(events=selected) for each in hooks]

    async def create(self, at: str, wanted: Wanted) -> tuple[Hook, str]:
        """Create a hook. Return it, and its secret if the provider made it, else an empty text.

        Raises LostAnswer and CommandError.
        """
        answer = await self._send("create", at, wanted)
        secret = self.kind.read_secret(answer) if self.kind.read_secret else ""
        self.hidden.add(secret)
        listed = self._read("create", [value_at(answer, *self.kind.created_path)])
        if len(listed) != 1 or not listed[0].id or (self.kind.makes_secret and not secret):
            raise LostAnswer(f"{self.kind.title} answered without the hook's id or secret")
        return listed[0]._replace(url=listed[0].url or wanted.url), secret

    async def change(self, at: str, wanted: Wanted, hook: Hook) -> None:
        """Change the hook as wanted. Raises LostAnswer and CommandError."""
        await self._send("change", at, wanted._replace(existing=hook))

    async def extend(self, at: str, hook: Hook) -> float:
        """Extend a hook that expires, and return its new expiry in Unix seconds. Raises LostAnswer and CommandError."""
        answer = await self._send("extend", at, Wanted(self.name, hook.url, existing=hook))
        try:
            expires_at = times.unix_seconds(str(value_at(answer, self.kind.expiry_field)))
        except ValueError as error:
            raise LostAnswer(f"{self.kind.title} answered without the new expiry") from error
        if expires_at <= (hook.expires_at or 0.0):
            raise CommandError(f"{self.name} {at}: {self.kind.title} answered, but did not extend the hook {hook.id}")
        return expires_at

    async def delete(self, at: str, hook: Hook) -> None:
        """Delete the hook, if it still exists. Raises LostAnswer and CommandError."""
        await self._send("delete", at, Wanted(self.name, hook.url, existing=hook))

    def _read(self, operation: Operation, entries: Json) -> list[Hook]:
        """Return the hooks of the entries. Raises LostAnswer and CommandError."""
        try:
            if not isinstance(entries, list) or len(objects_at(entries)) < len(entries):
                raise TypeError("no list of hooks")
            hooks = [hook for each in objects_at(entries) if (hook := self.kind.read_hook(each))]
        except _FORM_ERRORS as error:
            raise self._unknown_form(operation) from error
        if self.kind.single_id:
            hooks = [each._replace(id=self.kind.single_id(self.token)) for each in hooks]
        return [each._replace(inactive=self._masked(each.inactive), note=self._masked(each.note)) for each in hooks]

    async def _send(self, operation: Operation, at: str, wanted: Wanted, query: str = "") -> Json:
        """Send the request of an operation, and return its answer. Raises LostAnswer and CommandError."""
        request = self._request(operation, at, wanted, query)
        where = " ".join(filter(None, (self.kind.title, at)))
        try:
            response = await self.fetch.fetch(request)
        except errors.Unanswered as error:
            raise self._lost(operation, f"{where}: {self._masked(error.detail)}") from error
        except errors.HookchainError as error:
            raise CommandError(f"{self.name}: {where}: {self._masked(error.detail)}") from error
        if operation == "delete" and response.status in (404, 410):  # it does not exist any more
            return None
        return self._answer(operation, where, response)

    def _request(self, operation: Operation, at: str, wanted: Wanted, query: str) -> Outgoing:
        """Return the request. Raises CommandError if the API cannot have hooks at this place."""
        place_path = self.kind.path_of(at)
        if place_path is None:
            raise CommandError(f"sources.{self.name}.hook.at: must be {self.kind.examples}; got {at!r}")
        hook_id = quote(wanted.existing.id, safe="") if wanted.existing else ""
        token = self._token_at(at)
        quoted_token = quote(token, safe=":")  # Telegram's tokens have a colon and are part of the path
        method_and_path = self.kind.operations[operation].format(at=place_path, id=hook_id, token=quoted_token)
        method, _, path = method_and_path.partition(" ")
        body = None if method in ("GET", "DELETE") else self.kind.make_body(operation, wanted)
        url = (self.url or self.kind.api_url).rstrip("/") + path + query
        headers = self._headers(token, body)
        return Outgoing(method, url, headers, self._content(body), allow_private=self.allow_private)

    def _token_at(self, at: str) -> str:
        """Return the token for requests about the place. Raises CommandError."""
        if self.kind.sign_token is None:
            return self.token
        try:
            token = self.kind.sign_token(at, self.token, self.now())
        except ValueError as error:
            raise CommandError(f"{self.name}: the token {self.token_name} {error}") from error
        self.hidden.add(token)
        return token

    def _headers(self, token: str, body: Body | None) -> tuple[tuple[str, str], ...]:
        basic = base64_text(token.encode())
        headers = [(name, text.format(token=token, basic=basic)) for name, text in self.kind.headers.items()]
        if body is not None:
            content_type = "application/x-www-form-urlencoded" if self.kind.sends_forms else "application/json"
            headers.append(("Content-Type", content_type))
        return tuple(headers)

    def _content(self, body: Body | None) -> bytes:
        if body is None:
            return b""
        return urlencode(body, doseq=True).encode() if self.kind.sends_forms else texts_json(dict(body))

    def _answer(self, operation: Operation, where: str, response: Fetched) -> Json:
        """Return the JSON of the answer. Raises LostAnswer and CommandError."""
        is_success = 200 <= response.status < 300
        try:
            document = from_json(response.body) if response.body else None
        except (ValueError, RecursionError) as error:
            document = None
            if is_success and operation != "delete":
                raise self._lost(operation, f"{where}: the answer is not JSON") from error
        message = self.kind.read_fault(document) if is_success else _message(document)
        if is_success and not message:
            return document
        answered = f"{where} answered {response.status} to `{operation}`"
        text = self._masked(f"{answered}: {message}" if message else answered)[:_MAX_MESSAGE_CHARACTERS]
        # GraphQL reports an error beside `data` after it has executed the request, and without `data` before.
        if response.status >= 500 or (is_success and "data" in mapping_at(document)):
            raise self._lost(operation, text)
        is_gone = operation == "list" and (300 <= response.status < 400 or response.status in (404, 410))
        kind = Gone if is_gone else CommandError
        raise kind(f"{self.name}: {text}{self._advice(response)}")

    def _unknown_form(self, operation: Operation) -> CommandError | LostAnswer:
        return self._lost(operation, f"{self.kind.title} answered in a form that is not known")

    def _lost(self, operation: Operation, text: str) -> CommandError | LostAnswer:
        """Return the error of a request without a usable answer: LostAnswer if the request may have changed a hook."""
        return CommandError(f"{self.name}: {text}") if operation in ("list", "events") else LostAnswer(text)

    def _advice(self, response: Fetched) -> str:
        """Return what the operator can do about the status, as the end of a message; empty if nothing is known."""
        status = response.status
        after = response.header("retry-after")
        # GitHub answers 403 to requests above its rate limit, with one of these headers.
        is_github_limit = status == 403 and (after or response.header("x-ratelimit-remaining") == "0")
        if status == 429 or is_github_limit:
            return f". Run the command again in {after} s" if after and after.isdecimal() else ". Try again later"
        if status in (401, 403, 404):
            return f". The token {self.token_name} needs {self.kind.rights}"
        if status in REDIRECTS:
            return f". The place was moved or renamed: correct sources.{self.name}.hook"
        return ""

    def _masked(self, text: str) -> str:
        """Return the provider's text in one line, without the token and the secrets."""
        secret_part = self.token.rpartition(":")[2]  # of a token such as Twilio's `SID:secret`
        # A secret may contain another one. If the shorter one were masked first, the rest of the longer would stay.
        longest_first = sorted({self.token, secret_part, *self.hidden}, key=len, reverse=True)
        one_line = re.sub(r"\s+", " ", credential_masks.masked(text, longest_first))
        return printable(one_line)


def _message(document: Json) -> str:
    """Return the provider's message in the answer, with the first reason that it lists; empty if it has none."""
    message = next(filter(None, (_text(value_at(document, *path)) for path in _MESSAGES)), "")
    reason = _text(value_at(document, "errors", 0, "message"))  # GitHub's message says only that a validation failed
    return ": ".join(dict.fromkeys(filter(None, (message, reason))))


def _text(message: Json) -> str:
    """Return the message in one text. GitLab's has the reasons by the field, as in `url is blocked`."""
    texts = [(*path, text) for path, text in values_in(message) if isinstance(text, str)]
    return "; ".join(" ".join(part for part in parts if isinstance(part, str)) for parts in texts)
