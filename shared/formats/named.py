"""Which format a content type names."""

from typing import Final

_TYPES: Final = {
    "json": ("application/json", "text/json", "application/x-json", "application/csp-report"),
    "ndjson": (
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/jsonlines",
        "application/x-jsonlines",
        "application/json-seq",
        "application/stream+json",
    ),
    "xml": ("application/xml", "text/xml"),
    "yaml": ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/vnd.yaml"),
    "form": ("application/x-www-form-urlencoded",),
    "csv": ("text/csv", "application/csv", "text/tab-separated-values"),
    "plist": (
        "application/x-plist",
        "application/x-bplist",
        "application/x-apple-plist",
        "application/x-apple-binary-plist",
        "application/x-apple-aspen-mdm",
        "application/x-apple-aspen-mdm-checkin",
    ),
}
_BY_TYPE: Final = {type_name: format_name for format_name, type_names in _TYPES.items() for type_name in type_names}
_BY_SUFFIX: Final = (("+json", "json"), ("+xml", "xml"), ("+yaml", "yaml"))
_BY_FAMILY: Final = (
    ("multipart/", "multipart"),
    ("text/", "text"),
    *((family, "bytes") for family in ("image/", "audio/", "video/", "font/")),
)


def named_format(type_name: str) -> str | None:
    """None where the content type is absent or says nothing: text/plain, bytes of no kind, what we do not know."""
    if type_name == "text/plain":
        return None
    if found := _BY_TYPE.get(type_name):
        return found
    for suffix, format_name in _BY_SUFFIX:
        if type_name.endswith(suffix):
            return format_name
    return next((format_name for family, format_name in _BY_FAMILY if type_name.startswith(family)), None)
