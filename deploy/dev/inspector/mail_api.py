"""GET /api/mail, /api/mail/<id>, and a mail's HTML, source and attachments: hostile, so each is walled in."""

import base64
import re
from functools import partial
from typing import Final
from urllib.parse import quote

from aiohttp import web

from deploy.dev.inspector.answers import json_answer, not_found
from deploy.dev.inspector.mail_documents import mail_document, whole_mail_document
from deploy.dev.inspector.parts import LOCAL
from deploy.dev.inspector.query import before_of, limit_of
from deploy.dev.sendgrid.mail import Mail

# An origin of its own, no script, no form, nothing fetched from anywhere: only what came with the mail. Its links open
# in a tab of their own, as in a mail client.
HTML_POLICY: Final = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
FILE_POLICY: Final = "sandbox; default-src 'none'"
MAX_INLINE_BYTES: Final = 5_000_000
_CID: Final = re.compile(r"cid:([^\"'\s>)]+)", re.IGNORECASE)
_IMAGE: Final = re.compile(r"image/(?:png|jpeg|gif|webp)")


async def list_mail(request: web.Request) -> web.Response:
    parts, query = request.app[LOCAL], request.query
    mails = await parts.read(partial(parts.mailbox.list_mail, limit_of(query), before_of(query)))
    return json_answer({"mail": [mail_document(mail) for mail in mails]})


async def show_mail(request: web.Request) -> web.Response:
    return json_answer(whole_mail_document(await _mail(request)))


async def show_html(request: web.Request) -> web.Response:
    mail = await _mail(request)
    images = {
        attachment.content_id: f"data:{attachment.type};base64,{base64.b64encode(content).decode()}"
        for index, attachment in enumerate(mail.attachments)
        if attachment.content_id and _IMAGE.fullmatch(attachment.type) and attachment.size_bytes <= MAX_INLINE_BYTES
        if (content := await _content(request, mail.id, index)) is not None
    }
    html = _CID.sub(lambda found: images.get(found[1], "about:blank"), mail.html)
    headers = {"Content-Security-Policy": HTML_POLICY}
    # `base` only says where links open; the policy above forbids it to say where they lead.
    return web.Response(text='<base target="_blank">' + html, content_type="text/html", headers=headers)


async def show_source(request: web.Request) -> web.Response:
    """What was posted to SendGrid."""
    parts, mail = request.app[LOCAL], await _mail(request)
    source = await parts.read(partial(parts.mailbox.get_request, mail.id))
    return web.Response(text=source or "", content_type="text/plain", headers={"Content-Security-Policy": FILE_POLICY})


async def download(request: web.Request) -> web.Response:
    mail, index = await _mail(request), int(request.match_info["index"])
    content = await _content(request, mail.id, index)
    if content is None:
        raise not_found("no such attachment")
    name = mail.attachments[index].filename if index < len(mail.attachments) else "attachment"
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": FILE_POLICY,
    }
    return web.Response(body=content, content_type="application/octet-stream", headers=headers)


async def _mail(request: web.Request) -> Mail:
    parts, mail_id = request.app[LOCAL], int(request.match_info["id"])
    mail = await parts.read(partial(parts.mailbox.get_mail, mail_id))
    if mail is None:
        raise not_found(f"no mail {mail_id}")
    return mail


async def _content(request: web.Request, mail_id: int, index: int) -> bytes | None:
    parts = request.app[LOCAL]
    return await parts.read(partial(parts.mailbox.attachment_content, mail_id, index))


_ID: Final = r"/api/mail/{id:\d{1,15}}"
ROUTES: Final = [
    web.get("/api/mail", list_mail),
    web.get(_ID, show_mail),
    web.get(_ID + "/html", show_html),
    web.get(_ID + "/source", show_source),
    web.get(_ID + r"/attachments/{index:\d{1,4}}", download),
]
