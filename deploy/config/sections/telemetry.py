"""The section `telemetry`: where the functions send their spans, and its compiling.

Without the section, OpenTelemetry's own variables make one. The variable with the headers is a secret like any other.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, Field
from pydantic.types import Discriminator, Tag

from deploy.config.config_file import ConfigFaults, ConfigFile, Fault
from shared import errors
from shared.config import rules, values
from shared.credential_masks import MASK
from shared.jsontext import JsonObject
from shared.outgoing.allowed_urls import read_target

SECTION: Final = "telemetry"
HEADERS_SECRET: Final = "otel-exporter-otlp-headers"  # noqa: S105 its name, whose variable is OTEL_EXPORTER_OTLP_HEADERS
ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
TRACES_PATH: Final = "/v1/traces"

_URL: Final = re.compile(r"(https?://[^\s/?#@]+)(/[^\s?#]*)?", re.IGNORECASE)
"""The groups are what is before the path, and the path."""


def _base_url(text: str) -> str:
    _verify_url(text)
    if text.rstrip("/").endswith(TRACES_PATH):
        raise ValueError(f"must be the base URL: remove {TRACES_PATH}, which is added to it; got {text!r}")
    return text.rstrip("/")


def _verify_url(text: str) -> None:
    if not _URL.fullmatch(text):
        rule = "must be the URL of a collector, such as https://collector.example.com:4318"
        raise ValueError(f"{rule}; got {_without_credentials(text)!r}")
    try:
        read_target(text, allow_private=True)
    except errors.Permanent as fault:
        raise ValueError(f"{fault.detail}; got {text!r}") from fault


def _without_credentials(text: str) -> str:
    """Return the text, or only its scheme if a user name, a password or a query may be in it."""
    if not re.search(r"[@?#]", text):
        return text
    scheme, separator, _ = text.partition("://")
    return f"{scheme}://{MASK}" if separator and scheme.isalnum() else MASK


def _form_tag(section: object) -> str:
    """Return the tag of the form in which the section is written."""
    return "tag:cloud" if isinstance(section, str) else "tag:collector"


class TelemetryConfig(values.Model):
    """A collector that takes OTLP over HTTP in JSON.

    otlp            its base URL; spans are sent to `traces_path` below it, and metrics to /v1/metrics
    traces_path     the path that takes spans
    headers_secret  the secret with the headers of each request, such as `authorization=Bearer%20abc,x-team=ops`
    metrics         whether metrics are sent too
    resource        attributes of the resource, such as `deployment.environment.name`
    """

    otlp: Annotated[str, AfterValidator(_base_url)]
    traces_path: str = Field(TRACES_PATH, pattern=r"^/[^\s?#]*$")
    headers_secret: rules.SecretName | None = None
    metrics: bool = True
    resource: dict[str, str] = Field(default={})


CloudName = Literal["google_cloud", "aws"]
TelemetrySection = Annotated[
    Annotated[CloudName, Tag("tag:cloud")] | Annotated[TelemetryConfig, Tag("tag:collector")], Discriminator(_form_tag)
]
"""The cloud of the deployment, whose own endpoint takes the spans; or a collector."""


def with_telemetry(file: ConfigFile, environ: Mapping[str, str]) -> ConfigFile:
    """Return the configuration with the section that OpenTelemetry's variables make, unless it has one.

    Raises ConfigFaults for a variable that is not the URL of a collector.
    """
    is_off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    name = next((each for each in (TRACES_ENDPOINT, ENDPOINT) if environ.get(each)), None)
    if is_off or name is None or not isinstance(file.document, dict) or SECTION in file.document:
        return file
    try:
        (_verify_url if name == TRACES_ENDPOINT else _base_url)(environ[name])
    except ValueError as error:
        rule = f"{error}. Or set OTEL_SDK_DISABLED=true"
        raise ConfigFaults(file.file, [Fault(0, name, rule)]) from error
    return replace(file, document={**file.document, SECTION: _section_of(environ)})


def _section_of(environ: Mapping[str, str]) -> JsonObject:
    endpoint = environ.get(ENDPOINT, "")
    url, path = endpoint, TRACES_PATH
    if traces := environ.get(TRACES_ENDPOINT):
        url, path = _base_and_path(traces)
    own_path = {} if path == TRACES_PATH else {"traces_path": path}
    secret = {"headers_secret": HEADERS_SECRET} if environ.get("OTEL_EXPORTER_OTLP_HEADERS") else {}
    # A collector that the variables name for traces alone gets no metrics.
    takes_metrics = url.rstrip("/") == endpoint.rstrip("/") and environ.get("OTEL_METRICS_EXPORTER") != "none"
    metrics = {} if takes_metrics else {"metrics": False}
    pairs = [part.partition("=") for part in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",") if "=" in part]
    resource: JsonObject = {name.strip(): unquote(value.strip()) for name, _, value in pairs}
    return {"otlp": url, **own_path, **secret, **metrics, "resource": resource}


def _base_and_path(url: str) -> tuple[str, str]:
    """Divide the URL of a collector's traces, to which nothing is added: without a path, its path is the root.

    https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp
    """
    if url.endswith(TRACES_PATH):
        return url.removesuffix(TRACES_PATH), TRACES_PATH
    found = _URL.fullmatch(url)
    assert found is not None
    return found[1], found[2] or "/"


def compiled_telemetry(config: TelemetryConfig | CloudName | None) -> JsonObject:
    """Return the part of the slices of the functions that send spans."""
    if isinstance(config, str):
        return {SECTION: {"cloud": config}}
    return {SECTION: config.model_dump(exclude_unset=True)} if config else {}


def compiled_receive_telemetry(config: TelemetryConfig | CloudName | None) -> JsonObject:
    """Return the part of the slice of receive. It records times and sends nothing, so it needs no secret."""
    return {SECTION: {}} if config else {}
