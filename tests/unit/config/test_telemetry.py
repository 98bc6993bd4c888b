"""The section `telemetry`, and OpenTelemetry's variables in its place."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from deploy.config.compiler import compile_file
from deploy.config.config_file import ConfigFaults
from deploy.config.slices import local_only
from deploy.secrets.needs import missing_effect, needs
from shared.jsontext import Json
from tests.fakes.configurations import compile_text, faults_of_text

SOURCES: Final = "sources: {form: {auth: none}}\n"
OTLP: Final = "https://collector.example.com"


def sections(text: str, tmp_path: Path, environ: Mapping[str, str]) -> list[Json]:
    (tmp_path / "hookchain.yaml").write_text(text)
    slices = compile_file(tmp_path / "hookchain.yaml", environ)
    return [slices[function].get("telemetry") for function in ("receive", "transform", "notify")]


def test_the_functions_that_send_get_the_section_and_receive_only_a_sign() -> None:
    slices = compile_text(f"{SOURCES}telemetry: {{otlp: '{OTLP}:4318/otlp/', headers_secret: collector-headers}}")
    assert slices["receive"]["telemetry"] == {}
    expected = {"otlp": f"{OTLP}:4318/otlp", "headers_secret": "collector-headers"}
    assert slices["transform"]["telemetry"] == slices["notify"]["telemetry"] == expected
    readers = {name: each.readers for name in ("collector-headers",) for each in needs(slices, {}) if each.name == name}
    assert readers == {"collector-headers": ("transform", "notify")}


@pytest.mark.parametrize("cloud", ["google_cloud", "aws"])
def test_a_cloud_s_own_endpoint_needs_no_more_than_its_name(cloud: str) -> None:
    slices = compile_text(f"{SOURCES}telemetry: {cloud}")
    assert slices["receive"]["telemetry"] == {}
    assert slices["transform"]["telemetry"] == slices["notify"]["telemetry"] == {"cloud": cloud}


def test_a_missing_secret_says_that_no_spans_are_sent() -> None:
    slices = compile_text(f"{SOURCES}telemetry: {{otlp: '{OTLP}', headers_secret: collector-headers}}")
    [need] = [each for each in needs(slices, {}) if each.name == "collector-headers"]
    assert (need.is_credential, need.can_be_random) == (True, False)
    assert missing_effect([need]) == "no spans are sent"


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ("{otlp: 'collector:4317'}", "telemetry.otlp: must be the URL of a collector"),
        (
            "{otlp: 'https://u:pw@collector.example'}",
            "telemetry.otlp: must be the URL of a collector, such as https://collector.example.com:4318; got 'https://***'",
        ),
        ("{otlp: 'http://host:abc'}", "telemetry.otlp: the URL's host is followed by something other than a port"),
        ("{otlp: 'http://host:99999'}", "telemetry.otlp: port 99999 is not one where web services listen"),
        ("{otlp: 'http://[::1'}", "telemetry.otlp: the URL's host is followed by something other than a port"),
        ("{otlp: 'http://:4318'}", "telemetry.otlp: the URL's host must be a DNS name or an address"),
        ("{otlp: 'http://[zz]:1'}", "telemetry.otlp: port 1 is not one where web services listen"),
        ("{otlp: 'http://[zz]:4318'}", "telemetry.otlp: the URL has brackets around what is no IPv6 address"),
        ("{otlp: 'http://a..b:4318'}", "telemetry.otlp: the URL's host must be a DNS name or an address"),
        (f"{{otlp: '{OTLP}/v1/traces'}}", "telemetry.otlp: must be the base URL: remove /v1/traces"),
        (f"{{otlp: '{OTLP}', traces_path: 'v1/spans'}}", "telemetry.traces_path: "),
        ("{headers_secret: x}", "telemetry.otlp"),
        ("azure", "telemetry: must be 'google_cloud' or 'aws'; got 'azure'"),
        (f"{{otlp: '{OTLP}', headers: x}}", "telemetry.headers: there is no such key"),
    ],
)
def test_faults_name_the_key_and_the_rule(section: str, fault: str) -> None:
    assert fault in faults_of_text(f"{SOURCES}telemetry: {section}\n")


@pytest.mark.parametrize(
    ("environ", "section"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": f"{OTLP}/"}, {"otlp": OTLP, "resource": {}}),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{OTLP}/api/v1/traces"},
            {"otlp": f"{OTLP}/api", "metrics": False, "resource": {}},
        ),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": OTLP},
            {"otlp": OTLP, "traces_path": "/", "metrics": False, "resource": {}},
        ),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{OTLP}/in/v1/traces/", "OTEL_EXPORTER_OTLP_ENDPOINT": OTLP},
            {"otlp": OTLP, "traces_path": "/in/v1/traces/", "resource": {}},
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{OTLP}/v1/traces",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "https://metrics.example.com",
            },
            {"otlp": OTLP, "metrics": False, "resource": {}},
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{OTLP}/v1/traces",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"{OTLP}/",
            },
            {"otlp": OTLP, "resource": {}},
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": OTLP, "OTEL_METRICS_EXPORTER": "none"},
            {"otlp": OTLP, "metrics": False, "resource": {}},
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": OTLP,
                "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abc",
                "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=a%20b,team=ops",
            },
            {
                "otlp": OTLP,
                "headers_secret": "otel-exporter-otlp-headers",
                "resource": {"deployment.environment.name": "a b", "team": "ops"},
            },
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": OTLP, "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": OTLP, "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_opentelemetry_s_variables_make_the_section(environ: dict[str, str], section: Json, tmp_path: Path) -> None:
    receive, transform, notify = sections(SOURCES, tmp_path, environ)
    assert receive == (None if section is None else {})
    assert transform == notify == section


def test_the_section_counts_before_the_variables(tmp_path: Path) -> None:
    text = f"{SOURCES}telemetry: {{otlp: '{OTLP}'}}"
    assert sections(text, tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://other"})[1] == {"otlp": OTLP}


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("collector:4317", "must be the URL .*; got 'collector:4317'"),
        ("http://host:abc", "the URL's host .*; got 'http://host:abc'"),
        ("http://u:secretpw@host:4318", r"must be the URL .*; got 'http://\*\*\*'"),
        ("http://host:4318?token=secretpw", r"must be the URL .*; got 'http://\*\*\*'"),
        ("u:secretpw@host:4318", r"must be the URL .*; got '\*\*\*'"),
    ],
)
def test_a_variable_that_is_no_url_is_a_fault_with_its_value_but_no_credential(
    url: str, fault: str, name: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigFaults, match=rf"^{name}: {fault}. Or set") as found:
        sections(SOURCES, tmp_path, {name: url})
    assert "secretpw" not in str(found.value)


def test_a_deployment_cannot_reach_a_collector_on_this_machine() -> None:
    slices = compile_text(f"{SOURCES}telemetry: {{otlp: 'http://localhost:4318'}}")
    [(place, _, rule)] = local_only(slices)
    assert place == ("telemetry",)
    assert "`otlp` is at localhost, which is this machine only" in rule
