"""The destination `document`: a new Google Doc, or a section at the end of one, for each delivery, once.

A new document is a copy of the template, or an empty one, that Drive marks with the delivery's id (`appProperties`);
before a retry it is looked for by that. Then, as for a section, one batchUpdate writes the content together with a
named range that has the id. Markdown becomes requests here, rather than by Drive's import: sections need that anyway,
and the event's values cannot become Markdown.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Annotated, ClassVar, Final, TypeAlias
from urllib.parse import quote

from pydantic import Field, model_validator

from functions.notify import bounded_texts, destination, destination_secrets, http_engine, http_kind
from functions.notify.destinations.document import doc_updates, markdown
from functions.notify.google_calls import CallFailed, GoogleCalls
from functions.notify.kind_settings import EventExpression, GoogleId, KindSettings, LineTemplate, checked_by
from shared import errors, event, expressions
from shared.config.rules import SecretName
from shared.delivery import Delivered, Delivery, Failed, Outcome, RetryLater
from shared.jsontext import Json, JsonObject, objects_at, to_json
from shared.outgoing.auth import GoogleOAuthRequestAuth
from shared.templating.template import Template

Placeholder = Annotated[str, Field(pattern=r"^[^{}\s]([^{}\r\n]{0,98}[^{}\s])?$")]
"""The name in `{{name}}` of a template document."""
Markdown = Annotated[str, Field(min_length=1), checked_by(partial(Template, "markdown", encode=markdown.encoded))]

DOCS: Final = "https://docs.googleapis.com/v1/documents"
DRIVE: Final = "https://www.googleapis.com/drive/v3/files"
DOCS_SCOPE: Final = "https://www.googleapis.com/auth/documents"
DRIVE_SCOPE: Final = "https://www.googleapis.com/auth/drive"
"""To copy a template into a folder that others made, of which `drive.file` sees neither. Google Docs accepts this scope
for its own calls, too."""
PROPERTY: Final = "hookchain"
"""The property of a new document that has the delivery's key."""
NEW: Final = "NEW"
"""Stands for the id of a document that is not made yet, where a request is shown."""
MAX_TRIES: Final = 4
"""The number of tries of an update, while others change the document between its reading and the update."""
SHARE: Final = "share the document with the service account as an editor, and correct `append_to`"
SHARE_FOLDER: Final = (
    "make the service account a contributor of the folder's shared drive and a reader of the template, "
    "and correct `folder` and `template`"
)
MAX_TITLE_CHARACTERS: Final = 250
MAX_CHARACTERS: Final = 1_020_000
"""A document of Google has no more, whatever it contains."""
MakeUpdates: TypeAlias = Callable[[int], list[Json]]
"""Takes the index at which the document's body ends, and returns the updates of a batchUpdate, which Google calls its
requests."""


class Settings(KindSettings):
    """Google Docs: a new one from a template or from Markdown, or a section at the end of one.

    Share the document of `append_to` with the service account of `notify`, or of `secret`, as an editor. For new
    documents, make it a contributor of the shared drive with `folder`, and share the template with it.

    template   the URL or id of a document, which is copied
    values     what replaces {{name}} in the copy: for each name a JMESPath expression over the event
    markdown   in place of `template`: a template in Markdown, with headings, lists, links, quotes and code. The event's
               values are text in it, and never Markdown
    append_to  with `markdown`: the URL or id of the document that gets a section; without, a new document is made
    title      the name of a new document; a template
    folder     the URL or id of the folder for new documents, in a shared drive: a service account has no storage
    secret     a service account's key (JSON); without, this deployment's own account writes
    """

    extras: ClassVar[tuple[str, ...]] = ("crypto", "markdown")  # a service account's key signs by RSA

    template: GoogleId | None = None
    values: Annotated[Mapping[Placeholder, EventExpression], Field(max_length=200)] = Field(default_factory=dict)
    markdown: Markdown | None = None
    append_to: GoogleId | None = None
    title: LineTemplate = "{{ type }} from {{ source }}"
    folder: GoogleId | None = None
    secret: SecretName | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "Settings":
        if (self.template is None) == (self.markdown is None):
            raise ValueError("needs one of `template` and `markdown`")
        if self.template is None and self.values:
            raise ValueError("`values` fill a `template`; `markdown` names fields by itself, as in {{ data.name }}")
        if self.template is not None and not self.values:
            raise ValueError("`template` needs `values`: the names in it that are replaced")
        if self.append_to is not None:
            for name in ("template", "folder"):
                if getattr(self, name) is not None:
                    raise ValueError(f"`append_to` makes no document: leave out `{name}`")
        elif self.folder is None:
            raise ValueError("a new document needs `folder`; for a section in a document, set `append_to`")
        return self


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a new document or a section.

    title         the name of a new document
    make_updates  returns the updates that write the content
    key           the attempt's `row_key`, by which a retry finds the content
    is_retry      an earlier attempt may have written it
    """

    title: str
    make_updates: MakeUpdates
    key: str
    is_retry: bool


class DocumentDestination:
    """The destination. In this process, sections of the same document are written one after another."""

    dedupes_repeats = True

    def __init__(self, settings: Settings, context: destination.Context) -> None:
        self._settings = settings
        secrets = destination_secrets.DestinationSecrets(context.secrets, [settings.secret])
        self._attempts = http_engine.TimedAttempts(context, secrets)
        share = SHARE if settings.append_to else SHARE_FOLDER
        self._docs = GoogleCalls(context, _auth(settings), "Google Docs", share)
        self._drive = GoogleCalls(context, _auth(settings), "Google Drive", share)
        self._turn = asyncio.Lock()

    async def attempt(self, delivery: Delivery, attempt: destination.Attempt) -> Outcome:
        """Write the document or the section, unless an earlier attempt has. As `Destination.attempt`."""

        def prepare(whole: Delivery, _: http_kind.SecretValues) -> Content:
            with bounded_texts.bounded_templates():
                return content_of(whole, self._settings, attempt.row_key, attempt.may_be_there)

        return await self._attempts.make(delivery, attempt, prepare, self._send)

    async def _send(self, content: Content, deadline: float, secrets: http_kind.SecretValues) -> Outcome:
        """Write the content by the deadline, a time of the event loop. Raises Temporary and Permanent."""
        try:
            if self._settings.append_to is None:
                return await self._fill_new_document(content, deadline, secrets)
            return await self._append_section(self._settings.append_to, content, deadline, secrets)
        except CallFailed as failed:
            return failed.outcome

    async def _append_section(
        self, document: str, content: Content, deadline: float, secrets: http_kind.SecretValues
    ) -> Outcome:
        """Write the content at the end of the document, once no other section of this process is being written.

        Raises CallFailed, Temporary and Permanent.
        """
        try:
            async with asyncio.timeout_at(deadline):
                # Concurrent updates of this process would only make each other read the document again.
                await self._turn.acquire()
        except TimeoutError:
            return RetryLater("other sections were written until the attempt's time was over, and nothing was sent")
        try:
            return await self._update(document, content, deadline, secrets)
        finally:
            self._turn.release()

    async def _fill_new_document(self, content: Content, deadline: float, secrets: http_kind.SecretValues) -> Outcome:
        """Make a document and write the content into it. Raises CallFailed, Temporary and Permanent."""
        document = await self._new_document(content, deadline, secrets)
        try:
            return await self._update(document, content, deadline, secrets)
        except CallFailed as failed:
            if failed.response is None or failed.response.status != 404:
                raise
            # It was there a moment ago. If somebody deletes a document, the documents of other deliveries must still be
            # written.
            return RetryLater("the new document cannot be read yet, or it was deleted", answer=failed.outcome.answer)

    async def _new_document(self, content: Content, deadline: float, secrets: http_kind.SecretValues) -> str:
        """Return the id of the delivery's document, which an earlier attempt may have made. Raises CallFailed."""
        if content.is_retry:
            query = f"'{self._settings.folder}' in parents and {_is_marked(content.key)}"
            drives = "corpora=allDrives&includeItemsFromAllDrives=true&supportsAllDrives=true"
            url = f"{DRIVE}?q={quote(query, safe='')}&{drives}&fields=incompleteSearch,files(id)"
            search_result = await self._drive.read(url, deadline, secrets)
            if documents := objects_at(search_result, "files"):
                return str(documents[0].get("id"))
            if search_result.get("incompleteSearch") is True:
                raise CallFailed(RetryLater("Google Drive did not search all drives for the document"))
        created = await self._drive.write(creation_request(self._settings, content), deadline, secrets)
        return str(created.get("id"))

    async def _update(
        self, document: str, content: Content, deadline: float, secrets: http_kind.SecretValues
    ) -> Outcome:
        """Write the content, unless it is there. Raises CallFailed, Temporary and Permanent.

        Google rejects an update if the document has another revision than the one that was read, or because of the
        content. So a rejected update is tried again only if the revision has changed meanwhile.
        """
        url = f"{DOCS}/{document}?fields=revisionId,namedRanges,body(content(endIndex))"
        link = f"https://docs.google.com/document/d/{document}/edit"
        tried_revision: Json = None
        rejection: CallFailed | None = None
        for _ in range(MAX_TRIES):
            current = await self._docs.read(url, deadline, secrets)
            named_ranges = current.get("namedRanges")
            if isinstance(named_ranges, dict) and doc_updates.mark_of(content.key) in named_ranges:
                return Delivered(f"it was there already {link}")
            revision = current.get("revisionId")
            if rejection is not None and revision == tried_revision:
                raise rejection  # nobody changed the document: the content is what Google rejects
            tried_revision = revision
            try:
                updates = content.make_updates(_end_index(current))
                await self._docs.write(_update_request(self._settings, document, updates, revision), deadline, secrets)
            except CallFailed as failed:
                if not isinstance(failed.outcome, Failed):
                    raise
                rejection = failed
            else:
                return Delivered(link)
        return RetryLater("others changed the document each time before it was updated")


def connect(name: str, settings: Settings, context: destination.Context) -> DocumentDestination:
    return DocumentDestination(settings, context)


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Return the update that writes the content; of a section, as the first one of an empty document.

    Raises Permanent, and Temporary where the library for Markdown is not installed.
    """
    del secrets  # the sender reads the account's key
    content = content_of(delivery, settings, attempt.row_key)
    return _update_request(settings, settings.append_to or NEW, content.make_updates(doc_updates.EMPTY_END))


def creation_request(settings: Settings, content: Content) -> http_kind.OutgoingRequest:
    """Return the request that copies the template, or makes an empty document."""
    description: JsonObject = {
        "name": content.title,
        "parents": [settings.folder],
        "appProperties": {PROPERTY: content.key},
    }
    if settings.template is None:
        description["mimeType"] = "application/vnd.google-apps.document"
    url = f"{DRIVE}/{settings.template}/copy" if settings.template else DRIVE
    return http_kind.json_request(f"{url}?supportsAllDrives=true&fields=id", description, auth=(_auth(settings),))


def _update_request(
    settings: Settings, document: str, updates: Sequence[Json], revision: Json = None
) -> http_kind.OutgoingRequest:
    """Return the request that makes all updates or none: with `revision`, none if the document has another one."""
    body: JsonObject = {"requests": list(updates)}
    if revision is not None:
        body["writeControl"] = {"requiredRevisionId": revision}
    return http_kind.json_request(f"{DOCS}/{document}:batchUpdate", body, auth=(_auth(settings),))


def content_of(delivery: Delivery, settings: Settings, key: str, is_retry: bool = False) -> Content:
    """Return the content of the delivery. `key` is the attempt's `row_key`.

    Raises Permanent, and Temporary if the library for Markdown is not installed.
    """
    view = http_kind.template_view(delivery)
    title = bounded_texts.cut(http_kind.rendered_line("title", settings.title, view), MAX_TITLE_CHARACTERS)
    if settings.markdown is None:
        seen = event.view_of(delivery.event)
        values = {
            name: _text(name, expressions.over_event(text).search(seen)) for name, text in settings.values.items()
        }
        _verify_length(values.values())
        return Content(title, lambda _: doc_updates.fill_requests(values, key), key, is_retry)
    paragraphs = markdown.paragraphs_of(_markdown_template(settings.markdown).render(view))
    if not paragraphs:
        raise errors.Permanent("template_failed", "template 'markdown': its text is empty with this event")
    _verify_length(paragraph.text for paragraph in paragraphs)
    return Content(title, partial(doc_updates.section_requests, paragraphs, key), key, is_retry)


def _verify_length(texts: Iterable[str]) -> None:
    """Raise Permanent if the texts are longer than a document, before requests are made of them."""
    if (length := sum(map(len, texts))) > MAX_CHARACTERS:
        rule = f"a document takes {MAX_CHARACTERS:,} characters; the values together have {length:,}"
        raise errors.Permanent("output_too_large", rule)


def _text(name: str, value: Json) -> str:
    """Return the value as text: null is empty, and anything else that is no text is JSON. Raises Permanent."""
    if value is None:
        return ""
    try:
        return value if isinstance(value, str) else to_json(value)
    except (ValueError, RecursionError):
        raise errors.Permanent("conversion_failed", f"value {name!r}: it is no JSON") from None


@lru_cache(maxsize=100)
def _markdown_template(text: str) -> Template:
    return Template("markdown", text, encode=markdown.encoded)


def _auth(settings: Settings) -> GoogleOAuthRequestAuth:
    scope = DOCS_SCOPE if settings.append_to else DRIVE_SCOPE
    return GoogleOAuthRequestAuth(scheme="google_oauth", scope=scope, secret=settings.secret)


def _is_marked(key: str) -> str:
    """Return the condition of a search in Drive for the document of a delivery."""
    return f"appProperties has {{ key='{PROPERTY}' and value='{key}' }}"


def _end_index(document: JsonObject) -> int:
    """Return the index of the body's end; for a body without a stated end, the end of an empty body."""
    ends = [element.get("endIndex") for element in objects_at(document, "body", "content")]
    return max([end for end in ends if isinstance(end, int)], default=doc_updates.EMPTY_END)
