"""The published catalogue of event types: one page of HTML without scripts."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Final

from functions.subscribe.catalogue import all_event_types
from functions.subscribe.event_samples import sample_of
from functions.subscribe.service import Service
from shared.jsontext import Json
from shared.subscribers.model import EventType

STYLE: Final = """\
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
pre{overflow:auto;padding:.75rem;border:1px solid #8886;border-radius:.5rem}h2{margin-top:2.5rem}code{font-size:.9em}
"""


async def catalogue_page(service: Service) -> tuple[bytes, str]:
    """Return the page, and the source that its style has in the content security policy."""
    name = service.settings.portal_name
    sections = _sections(await all_event_types(service)) or "<p>There are no event types yet.</p>"
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(name)}: events</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><main><h1>{escape(name)}: events</h1>{sections}</main></body></html>\n"
    )
    return page.encode("utf-8", "replace"), f"sha256-{b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}"


def _sections(types: Sequence[EventType]) -> str:
    by_group = sorted(types, key=lambda each: (each.group, each.name))
    texts = []
    for group, of_group in groupby(by_group, key=lambda each: each.group):
        texts.append(f"<h2>{escape(group or 'Events')}</h2>{''.join(map(_section, of_group))}")
    return "".join(texts)


def _section(event_type: EventType) -> str:
    name = escape(event_type.name)
    mark = " <small>(deprecated)</small>" if event_type.is_deprecated else ""
    text = f'<section><h3 id="{name}"><code>{name}</code>{mark}</h3><p>{escape(event_type.description)}</p>'
    text += f"<h4>Example</h4><pre>{_json(sample_of(event_type))}</pre>"
    if event_type.schema_:
        text += f"<details><summary>JSON Schema</summary><pre>{_json(event_type.schema_)}</pre></details>"
    return f"{text}</section>"


def _json(value: Json) -> str:
    return escape(json.dumps(value, indent=2, ensure_ascii=False))
