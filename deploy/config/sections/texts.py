"""Texts of the configuration that must have a form: locations in a request, URLs, addresses and content types."""

import re
from ipaddress import ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from shared.config.rules import listed


def fitting(pattern: str | re.Pattern[str], rule: str) -> AfterValidator:
    """Return a validator that accepts a text if all of it matches the pattern. The fault is `must be` and `rule`."""

    def verify(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {rule}")
        return text

    return AfterValidator(verify)


_LOCATION: Final = re.compile(
    r"""
    (header|query|beside)\.[^\s.]+               # beside.KEY: the name of the one key in `data` besides KEY
    | (data|body)(\.[^.\s]+)+
    | data(\.[^.\s]+)+[ ]if[ ]data(\.[^.\s]+)+   # the first path, where the second has a value too
    """,
    re.VERBOSE,
)
_LOCATION_RULE: Final = (
    "header.NAME, query.NAME or data.path.to.field; ` + ` joins two; `data.a if data.b` needs a value at both"
)
_PATH_WITHOUT_DATA: Final = re.compile(r"(?!(header|query|beside|data|body)\.)[A-Za-z_]\w*(\.\w+)+")


def _location(text: str) -> str:
    if all(_LOCATION.fullmatch(part) for part in text.split(" + ")):
        return text
    if text.isidentifier():
        rule = f"`data.{text}` is a field of the body, `header.{text}` a header"
    elif _PATH_WITHOUT_DATA.fullmatch(text):
        rule = f"`data.{text}` is a field of the body; {_LOCATION_RULE}"
    else:
        rule = _LOCATION_RULE
    raise ValueError(f"must be a location: {rule}")


Locations = Annotated[list[Annotated[str, AfterValidator(_location)]], BeforeValidator(listed), Field(min_length=1)]
"""One location, or several: the first that has a value counts. In a batch, `data` is an item and `body` the whole."""

DataPath = Annotated[str, fitting(r"data(\.[^.\s]+)+", "a path in the body: data.path.to.field")]
_BATCH_PATH: Final = re.compile(r"data\.(\S+\.)?\*(\.\S+)?")


def _batch_path(text: str) -> str:
    if not _BATCH_PATH.fullmatch(text):
        items = f": write {text}.*" if re.fullmatch(r"data(\.[^\s*]+)?", text) else ""
        raise ValueError(f"must be a path in data with `*` in the place of the items, such as data.events.*{items}")
    return text


BatchPath = Annotated[str, AfterValidator(_batch_path)]

_ORIGIN: Final = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")


def _origin(text: str) -> str:
    """Return the origin as browsers send it: without the port that the scheme implies."""
    if not text.isascii():
        raise ValueError("must be in ASCII as browsers send it: write the host's domain as `xn--…`")
    if not _ORIGIN.fullmatch(text):
        raise ValueError("must be an origin such as https://www.example.com, without a path or a trailing slash")
    implied_port = ":443" if text.startswith("https:") else ":80"
    return text.removesuffix(implied_port)


Origin = Annotated[str, StringConstraints(to_lower=True), AfterValidator(_origin)]
PageUrl = Annotated[
    str,
    fitting(r"https?://[^\s\x00-\x20\x7f-\uffff\\]+", "the URL of a page, such as https://www.example.com/thanks"),
]


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        rule = "must be an IP address or a block of addresses, such as 203.0.113.7 or 192.0.2.0/24"
        raise ValueError(f"{rule}, without host bits" if "host bits" in str(error) else rule) from error


Networks = Annotated[list[Annotated[str, AfterValidator(_network)]], BeforeValidator(listed), Field(min_length=1)]
PublicUrl = Annotated[
    str,
    fitting(
        r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?",
        "a URL such as https://hooks.example.com, without a query or a user name",
    ),
]
"""The URL exactly as written, including a trailing slash, because senders sign it."""
ContentType = Annotated[
    str,
    StringConstraints(to_lower=True),
    fitting(
        r"[a-z0-9.+_-]+/([a-z0-9.+_-]+|\*)|\*\+[a-z0-9]+",
        "a content type such as application/json, text/* or *+json",
    ),
]
ContentTypes = Annotated[list[ContentType], BeforeValidator(listed), Field(min_length=1)]
