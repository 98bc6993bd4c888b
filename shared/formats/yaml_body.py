"""YAML, read event by event from libyaml's parser and bounded on the way, before anything is built.

PyYAML's loaders recurse once a level, and its C one takes the process with it; the stream of events does not. An alias
counts as all that it stands for, and becomes a copy.
"""

import re
from typing import Final

import yaml
from yaml._yaml import CParser

from shared.errors import Rejected
from shared.formats import json_body
from shared.formats.charset import decode_text
from shared.formats.media_type import MediaType, media_type
from shared.formats.yaml_build import Builder
from shared.jsontext import Json
from shared.limits import Limits

# libyaml compares each with all before it. Only the core schema's tags are taken, so nobody needs many.
_TAG_DIRECTIVE: Final = re.compile("^%TAG|[\n\r\x85\u2028\u2029]%TAG")
_MAX_TAG_DIRECTIVES: Final = 20
_JSON: Final = media_type("application/json")


def parse(body: bytes, media: MediaType, limits: Limits) -> Json:
    """One document, by the core schema of YAML 1.2, with `<<` as a merge key. A key is taken as it is written.

    Raises Rejected: `multi`, `depth`, `nodes`, `expansion`, `tag`, `key`, `dup_key`, `num`, `parse`.
    """
    text = decode_text(body, media.charset)
    if sum(1 for _ in _TAG_DIRECTIVE.finditer(text)) > _MAX_TAG_DIRECTIVES:
        raise Rejected("tag", f"the YAML has more than {_MAX_TAG_DIRECTIVES} %TAG directives")
    builder = Builder(limits)
    try:
        _read(text, builder)
    except yaml.YAMLError as error:
        if text.lstrip()[:1] in {"{", "["} and "\\u" in text:
            return _as_json(text, limits, _refusal(error, limits))
        raise _refusal(error, limits) from None
    except UnicodeError:  # a tag may spell bytes that are no UTF-8
        raise Rejected("parse", "not YAML: a tag is not UTF-8") from None
    return builder.document()


def _as_json(text: str, limits: Limits, refusal: Rejected) -> Json:
    """JSON is YAML, but libyaml takes no pair of surrogates for the character it is. Raises the refusal otherwise."""
    try:
        return json_body.parse(text.encode(), _JSON, limits)
    except Rejected:
        raise refusal from None


def _read(text: str, builder: Builder) -> None:
    parser = CParser(text)
    try:
        while event := parser.get_event():
            match event:
                case yaml.ScalarEvent():
                    plain = event.implicit[0] and event.tag is None
                    builder.scalar(event.value, event.anchor, event.tag, plain)
                case yaml.SequenceStartEvent():
                    builder.open_list(event.anchor, event.tag)
                case yaml.MappingStartEvent():
                    builder.open_object(event.anchor, event.tag)
                case yaml.CollectionEndEvent():
                    builder.close()
                case yaml.AliasEvent():
                    builder.alias(event.anchor or "")
                case yaml.DocumentStartEvent():
                    builder.start_document()
    finally:
        parser.dispose()


def _refusal(error: yaml.YAMLError, limits: Limits) -> Rejected:
    if isinstance(error, yaml.MarkedYAMLError):
        if "nesting" in (error.problem or ""):  # libyaml's own limit, where its look-ahead comes before our count
            return Rejected("depth", f"the YAML is nested deeper than {limits.max_depth} levels")
        if mark := error.problem_mark:
            return Rejected("parse", f"not YAML: line {mark.line + 1}, column {mark.column + 1}")
    return Rejected("parse", "not YAML: it holds characters that YAML does not allow")
