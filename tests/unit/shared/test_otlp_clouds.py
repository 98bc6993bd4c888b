"""The clouds' own endpoints for spans: a token of Google's, a signature of AWS's, and nothing from this machine."""

from typing import Final

import pytest

from deploy.history.ports import closing_port
from shared.cloud import platform
from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.otlp import AwsPost
from shared.cloud.gcp.otlp import GooglePost
from shared.errors import Temporary
from shared.jsontext import JsonObject
from shared.settings import read_settings
from shared.signatures.aws_v4 import Credentials, RequestLine, Scope, signed_headers
from shared.telemetry import spans
from shared.times import unix_seconds
from tests.fakes.secrets import FakeSecrets
from tests.stand_ins.otlp_receiver import otlp_receiver
from tests.unit.shared.test_platform import DEPLOYED, EMULATED_BUS, ON_LAMBDA
from tests.unit.shared.test_telemetry import RESOURCES, a_span

BODY: Final = spans.spans_json([a_span()], RESOURCES)
KEYS: Final = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a-session")


async def test_google_gets_the_functions_token_and_the_project_that_pays() -> None:
    async def authorization() -> str:
        return "Bearer ya29.token"

    with otlp_receiver() as receiver:
        async with closing_port(GooglePost(receiver.url, "a-project", authorization, 5)) as post:
            await post.connect()
            assert (await post("/v1/traces", BODY)).status == 200
        [request] = receiver.requests
    assert request.headers["authorization"] == "Bearer ya29.token"
    assert request.headers["x-goog-user-project"] == "a-project"
    assert request.headers["content-type"] == "application/json"
    assert len(receiver.spans()) == 1


async def test_without_a_token_google_is_asked_for_nothing() -> None:
    async def authorization() -> str:
        raise Temporary("credentials_unavailable", "the metadata server did not answer")

    with otlp_receiver() as receiver, pytest.raises(Temporary):
        await GooglePost(receiver.url, "a-project", authorization, 5)("/v1/traces", BODY)
    assert receiver.requests == []


async def test_aws_gets_a_request_that_is_signed_for_x_ray() -> None:
    with otlp_receiver() as receiver:
        async with closing_port(AwsPost(AwsPlace("eu-central-1", lambda: KEYS, receiver.url), 5)) as post:
            assert (await post("/v1/traces", BODY)).status == 200
        [request] = receiver.requests
    date = request.headers["x-amz-date"]
    now = unix_seconds(f"{date[:4]}-{date[4:6]}-{date[6:11]}:{date[11:13]}:{date[13:]}")
    host = receiver.url.removeprefix("http://")
    signed = signed_headers(
        RequestLine("POST", host, "/v1/traces"),
        {"Content-Type": "application/json"},
        BODY,
        Scope("eu-central-1", "xray"),
        KEYS,
        now,
    )
    assert request.headers["authorization"] == signed["Authorization"]
    assert request.headers["x-amz-security-token"] == "a-session"


@pytest.mark.parametrize(
    ("environ", "cloud", "post"),
    [
        (DEPLOYED, "google_cloud", "GooglePost"),
        (ON_LAMBDA, "aws", "AwsPost"),
        (DEPLOYED, "aws", "NoPost"),
        (ON_LAMBDA, "google_cloud", "NoPost"),
        ({**ON_LAMBDA, "AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, "aws", "NoPost"),
        (EMULATED_BUS, "google_cloud", "NoPost"),
        (EMULATED_BUS, "aws", "NoPost"),
    ],
)
def test_a_clouds_endpoint_gets_spans_of_its_functions_only(environ: dict[str, str], cloud: str, post: str) -> None:
    slice_: JsonObject = {"telemetry": {"cloud": cloud}}
    found = platform.exporter(read_settings(environ), "notify", slice_, FakeSecrets({}))
    assert found is not None
    assert type(found._post).__name__ == post
    assert found.metrics is None, "the metrics of its log stay"


def test_the_spans_for_google_name_their_project() -> None:
    slice_: JsonObject = {"telemetry": {"cloud": "google_cloud"}}
    found = platform.exporter(read_settings(DEPLOYED), "notify", slice_, FakeSecrets({}))
    assert found is not None
    resources = found._spans._resources
    assert resources["notify"]["gcp.project_id"] == resources["receive"]["gcp.project_id"] == "a-project"


@pytest.mark.parametrize(("own", "path"), [({}, "/v1/traces"), ({"traces_path": "/"}, "/")])
def test_spans_go_to_the_path_of_the_section(own: JsonObject, path: str) -> None:
    slice_: JsonObject = {"telemetry": {"otlp": "http://collector:4318", **own}}
    found = platform.exporter(read_settings(DEPLOYED), "notify", slice_, FakeSecrets({}))
    assert found is not None
    assert found._spans.path == path


@pytest.mark.parametrize(
    "url", ["http://host:abc", "http://host:99999", "http://[::1", "http://[zz]:4318", "http://:4318"]
)
def test_an_unusable_url_costs_the_spans_and_not_the_function(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    slice_: JsonObject = {"telemetry": {"otlp": url}}
    assert platform.exporter(read_settings(DEPLOYED), "notify", slice_, FakeSecrets({})) is None
    assert capsys.readouterr().out.count("telemetry not sent") == 1
