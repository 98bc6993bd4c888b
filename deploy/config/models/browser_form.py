"""A source that people's browsers post a form to."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from shared.config.values import Model, listed

_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
_PAGE: Final = re.compile(r"https?://[^\s\x00-\x20\x7f-\uffff\\]+")


def _origin(text: str) -> str:
    text = text.lower()
    if not _ORIGIN.fullmatch(text):
        raise ValueError("is not an origin: write https://www.example.com, without a path or a slash at its end")
    return text


def _page(text: str) -> str:
    if not _PAGE.fullmatch(text):
        raise ValueError("is not the URL of a page: write https://www.example.com/thanks")
    return text


class FormConfig(Model):
    """`origins` are where the form stands; `honeypot` is a field that people do not see, and that only programs fill;
    `thanks` is the page that a browser is sent to."""

    origins: Annotated[list[Annotated[str, AfterValidator(_origin)]], BeforeValidator(listed), Field(min_length=1)]
    honeypot: str | None = Field(None, min_length=1, max_length=100)
    thanks: Annotated[str, AfterValidator(_page)] | None = None
