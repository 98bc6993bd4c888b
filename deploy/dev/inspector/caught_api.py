"""The page's JSON interface to what `hookchain dev` caught: mails at /api/mail, rows of Google Sheets at /api/sheets.

Senders wrote all that is in a mail, so its HTML, source and attachments are served isolated from the page.
"""

import asyncio
import base64
import re
from functools import partial
from typing import Final
from urllib.parse import quote

import aiohttp
import pydantic
from aiohttp import web

from deploy.config.notify_destinations import caught_sheets
from deploy.dev.caught import Sheet, SheetStore
from deploy.dev.inspector import api
from deploy.dev.local_server import json_answer
from deploy.dev.mail import Address, Mail
from shared import errors, times
from shared.jsontext import Json, JsonObject

# An origin of its own, no script, no form, nothing loaded from anywhere else: only what came with the mail. Its links
# open in a new tab, as in a mail client.
HTML_POLICY: Final = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
FILE_POLICY: Final = "sandbox; default-src 'none'"
MAX_INLINE_BYTES: Final = 5_000_000
MOST_SHEETS: Final = 20
NEWEST_ROWS: Final = 100
PREVIEW_CHARACTERS: Final = 140
FAULTS_TIMEOUT: Final = aiohttp.ClientTimeout(total=2.0)
_CID: Final = re.compile(r"cid:([^\"'\s>)]+)", re.IGNORECASE)
_IMAGE: Final = re.compile(r"image/(?:png|jpeg|gif|webp)")
_RULE: Final = re.compile(r"[=_*-]{4,}")  # the lines that texts draw
_ID: Final = r"/api/mail/{id:\d{1,15}}"


async def list_mail(request: web.Request) -> web.Response:
    backend, page = request.app[api.LOCAL], api.read_query(api.Paging, request.query)
    mails = await backend.in_thread(partial(backend.caught.mailbox.list_mail, page.limit, page.before))
    return json_answer({"mail": [_mail_summary(mail) for mail in mails]})


async def show_mail(request: web.Request) -> web.Response:
    return json_answer(_mail_document(await _mail(request)))


async def show_html(request: web.Request) -> web.Response:
    """Answer the HTML of a mail. Its images that came as attachments are in it as `data:` URLs."""
    mail = await _mail(request)
    images: dict[str, str] = {}
    for index, attachment in enumerate(mail.attachments):
        is_image = _IMAGE.fullmatch(attachment.type) and attachment.size_bytes <= MAX_INLINE_BYTES
        if not attachment.content_id or not is_image:
            continue
        content = await _content(request, mail.id, index)
        if content is not None:
            base64_text = base64.b64encode(content).decode()
            images[attachment.content_id] = f"data:{attachment.type};base64,{base64_text}"
    html = _CID.sub(lambda found: images.get(found[1], "about:blank"), mail.html)
    headers = {"Content-Security-Policy": HTML_POLICY}
    # `base` only makes links open in a new tab; the policy above forbids it to change where they lead.
    return web.Response(text='<base target="_blank">' + html, content_type="text/html", headers=headers)


async def show_source(request: web.Request) -> web.Response:
    """Answer the JSON that was posted to SendGrid."""
    backend, mail = request.app[api.LOCAL], await _mail(request)
    source = await backend.in_thread(partial(backend.caught.mailbox.get_request, mail.id))
    return web.Response(text=source or "", content_type="text/plain", headers={"Content-Security-Policy": FILE_POLICY})


async def download(request: web.Request) -> web.Response:
    mail, index = await _mail(request), int(request.match_info["index"])
    content = await _content(request, mail.id, index)
    if content is None:
        raise api.not_found("The mail has no such attachment.")
    name = mail.attachments[index].filename if index < len(mail.attachments) else "attachment"
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": FILE_POLICY,
    }
    return web.Response(body=content, content_type="application/octet-stream", headers=headers)


class _Sink(pydantic.BaseModel):
    plugged: bool


async def plug_sink(request: web.Request) -> web.Response:
    """Take `{"plugged": false}` to simulate a mail service that is down."""
    plugged = (await api.read_body(_Sink, request)).plugged
    await _request_faults(request.app[api.LOCAL].apis_url, "POST", {"mail": {"unplugged": not plugged}})
    return json_answer({"plugged": plugged})


async def sink_state(backend: api.DevBackend) -> JsonObject:
    """Return whether the emulated mail service answers, and whether it is plugged in: it is, until `plug_sink`."""
    try:
        mail = (await _request_faults(backend.apis_url, "GET", None)).get("mail")
    except errors.Temporary:
        return {"answers": False, "plugged": True}
    return {"answers": True, "plugged": not (isinstance(mail, dict) and mail.get("unplugged") is True)}


async def _request_faults(apis_url: str, method: str, body: Json) -> JsonObject:
    """Return the faults of the emulated cloud APIs. Raises Temporary."""
    try:
        async with (
            aiohttp.ClientSession(timeout=FAULTS_TIMEOUT) as session,
            session.request(method, f"{apis_url}/emulator/faults", json=body) as answer,
        ):
            status = answer.status
            document: Json = await answer.json() if status == 200 else None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise errors.Temporary(
            "apis_unavailable", f"the emulated APIs do not answer: {type(error).__name__}"
        ) from error
    if not isinstance(document, dict):
        raise errors.Temporary("apis_unavailable", f"the emulated APIs answered {status}")
    return document


async def _mail(request: web.Request) -> Mail:
    backend, mail_id = request.app[api.LOCAL], int(request.match_info["id"])
    mail = await backend.in_thread(partial(backend.caught.mailbox.get_mail, mail_id))
    if mail is None:
        raise api.not_found(f"There is no mail {mail_id}.")
    return mail


async def _content(request: web.Request, mail_id: int, index: int) -> bytes | None:
    backend = request.app[api.LOCAL]
    return await backend.in_thread(partial(backend.caught.mailbox.attachment_content, mail_id, index))


def _mail_summary(mail: Mail) -> JsonObject:
    """Return a mail for the list, without its bodies."""
    return {
        "id": mail.id,
        "message_id": mail.message_id,
        "received_at": times.rfc3339(mail.received_at),
        "from": _address(mail.sender),
        "to": [_address(each) for each in mail.to],
        "subject": mail.subject,
        "preview": _preview(mail.text),
        "attachments": len(mail.attachments),
    }


def _preview(text: str) -> str:
    line = " ".join(_RULE.sub(" ", text[: PREVIEW_CHARACTERS * 4]).split())
    return line if len(line) <= PREVIEW_CHARACTERS else f"{line[: PREVIEW_CHARACTERS - 1].rstrip()}…"


def _mail_document(mail: Mail) -> JsonObject:
    return {
        **_mail_summary(mail),
        "cc": [_address(each) for each in mail.personalization.cc],
        "bcc": [_address(each) for each in mail.personalization.bcc],
        "reply_to": [_address(each) for each in mail.reply_to],
        "text": mail.text,
        "has_html": bool(mail.html),
        "attachments": [
            {
                "filename": each.filename,
                "type": each.type,
                "inline": each.disposition == "inline",
                "bytes": each.size_bytes,
            }
            for each in mail.attachments
        ],
    }


def _address(address: Address) -> Json:
    return {"email": address.email, "name": address.name}


async def find_sheets(backend: api.DevBackend) -> list[Sheet]:
    """Return the sheets that the configuration names and that are caught, then those that only have rows."""
    notify = await asyncio.to_thread(backend.read_slice, "notify")
    configured = (Sheet(*each) for each in caught_sheets(notify))
    with_rows = await backend.in_thread(backend.caught.sheets.sheets)
    return list(dict.fromkeys([*configured, *with_rows]))


async def list_sheets(request: web.Request) -> web.Response:
    """Answer the sheets, each with its first row and its newest ones."""
    backend = request.app[api.LOCAL]
    sheets = (await find_sheets(backend))[:MOST_SHEETS]
    store = backend.caught.sheets
    documents: list[Json] = [await backend.in_thread(partial(_sheet_document, store, each)) for each in sheets]
    return json_answer({"sheets": documents})


class _ChosenSheet(pydantic.BaseModel):
    spreadsheet: str
    sheet: str


async def empty_sheet(request: web.Request) -> web.Response:
    """Take `{"spreadsheet": …, "sheet": …}`, and delete its rows and its header."""
    chosen, backend = await api.read_body(_ChosenSheet, request), request.app[api.LOCAL]
    await backend.in_thread(partial(backend.caught.sheets.empty, Sheet(chosen.spreadsheet, chosen.sheet)))
    return json_answer({})


def _sheet_document(store: SheetStore, sheet: Sheet) -> JsonObject:
    """Return the first row, and the newest of the others, which begin with row `begin`."""
    count = store.row_count(sheet)
    begin = max(2, count - NEWEST_ROWS + 1)
    newest: list[Json] = [*store.rows(sheet, begin, count)]
    first: list[Json] = [*store.rows(sheet, 1, 1)]
    return {
        "spreadsheet": sheet.spreadsheet,
        "sheet": sheet.title,
        "count": count,
        "first": first[0] if first else None,
        "begin": begin,
        "rows": newest,
    }


CAUGHT_ROUTES: Final = [
    web.get("/api/mail", list_mail),
    web.get(_ID, show_mail),
    web.get(_ID + "/html", show_html),
    web.get(_ID + "/source", show_source),
    web.get(_ID + r"/attachments/{index:\d{1,4}}", download),
    web.post("/api/mail-sink", plug_sink),
    web.get("/api/sheets", list_sheets),
    web.post("/api/sheets/empty", empty_sheet),
]
