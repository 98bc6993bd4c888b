"""The kinds of builds: GitHub, GitLab, Jenkins and Cloud Build. No server is needed."""

from contextlib import nullcontext
from types import ModuleType
from typing import Final
from urllib.parse import parse_qsl

import pytest

from functions.notify.destinations import cloud_build, github, gitlab, jenkins
from functions.notify.http_kind import NOW, OutgoingRequest
from shared.delivery import Delivered, Disabled, Failed, RetryLater
from shared.errors import Permanent, Temporary
from shared.jsontext import Json, JsonObject
from shared.outgoing.auth import GoogleOAuthRequestAuth
from shared.secrets import secret_names
from tests.unit.notify.http_kinds import json_of, outcome_of, request_of

TOKEN: Final = {"key": "a-token-of-builds"}
WORKFLOW: Final[JsonObject] = {"repository": "o/r", "workflow": "deploy.yml", "ref": "main"}
DISPATCH: Final[JsonObject] = {"repository": "o/r", "event_type": "order"}
PIPELINE: Final[JsonObject] = {"project": "group/sub/shop", "ref": "main"}
LOG: Final = "https://console.cloud.google.com/cloud-build/builds/7"
TRIGGER: Final[JsonObject] = {"project": "example-project", "trigger": "deploy"}
JOB: Final[JsonObject] = {"url": "https://jenkins.example.com/ci", "job": "a b/c", "username": "hooks"}


def built(kind: ModuleType, settings: JsonObject, data: Json = None) -> OutgoingRequest:
    return request_of(kind, {"secret": "key", **settings}, data, TOKEN)


def test_a_workflow_without_inputs_and_a_job_without_parameters_are_started() -> None:
    assert json_of(built(github, WORKFLOW)) == {"ref": "main", "inputs": {}, "return_run_details": True}
    assert json_of(built(github, DISPATCH)) == {"event_type": "order", "client_payload": {}}
    request = built(jenkins, JOB)
    assert (request.url, request.body) == ("https://jenkins.example.com/ci/job/a%20b/job/c/build", b"")


def test_an_enterprise_server_gets_only_what_it_knows() -> None:
    request = built(github, {**WORKFLOW, "api_url": "https://github.example.com/api/v3"})
    assert request.url.startswith("https://github.example.com/api/v3/repos/o/r/actions/")
    assert "return_run_details" not in json_of(request)


@pytest.mark.parametrize(("kind", "settings"), [(github, WORKFLOW), (gitlab, PIPELINE), (cloud_build, TRIGGER)])
@pytest.mark.parametrize("ref", ["main", "release/1.2"])
def test_a_ref_that_the_settings_declare_is_built(kind: ModuleType, settings: JsonObject, ref: str) -> None:
    declared: JsonObject = {**settings, "ref": "{{ data.ref }}", "allow_refs": ["main", "release/*"]}
    body = json_of(built(kind, declared, {"ref": ref}))
    assert (body["source"] if kind is cloud_build else body["ref"]) == (
        {"branchName": ref} if kind is cloud_build else ref
    )


@pytest.mark.parametrize(("kind", "settings"), [(github, WORKFLOW), (gitlab, PIPELINE), (cloud_build, TRIGGER)])
@pytest.mark.parametrize("ref", ["evil", "", "release/$(id)", "release/a b", "release/a\nb", "release/" + "x" * 300])
def test_no_other_ref_is_built(kind: ModuleType, settings: JsonObject, ref: str) -> None:
    declared: JsonObject = {**settings, "ref": "{{ data.ref }}", "allow_refs": ["main", "release/*"]}
    with pytest.raises(Permanent, match="allow_refs"):
        built(kind, declared, {"ref": ref})


REFS: Final = {"main": True, "feature/x-1": True, "v1.2+b": True} | dict.fromkeys(
    ("../main", "a/../b", "a..b", "-x", "--upload-pack=x", "/a", "a//b", "a/", "a.", "a/.b", "a.lock", "a.lock/b"),
    False,
)


@pytest.mark.parametrize(("ref", "is_built"), REFS.items())
def test_of_any_ref_only_what_git_takes_as_one_is_built(ref: str, is_built: bool) -> None:
    declared: JsonObject = {**WORKFLOW, "ref": "{{ data.ref }}", "allow_refs": ["*"]}
    with nullcontext() if is_built else pytest.raises(Permanent, match="allow_refs"):
        assert json_of(built(github, declared, {"ref": ref}))["ref"] == ref


def test_a_value_keeps_the_type_that_the_settings_give_it() -> None:
    inputs: JsonObject = {
        "text": "{{ data.n }}",
        "flag": True,
        "number": {"json": "{{ data.n }}"},
        "all": {"json": "{{ data }}"},
    }
    assert json_of(built(gitlab, {**PIPELINE, "inputs": inputs}, {"n": 3}))["inputs"] == {
        "text": "3",
        "flag": True,
        "number": 3,
        "all": {"n": 3},
    }
    assert json_of(built(github, {**WORKFLOW, "inputs": inputs}, {"n": 3}))["inputs"] == {
        "text": "3",
        "flag": "true",
        "number": "3",
        "all": '{"n":3}',
    }


@pytest.mark.parametrize("text", ["x", "", "NaN", "1e999", "[" * 100_000])
def test_a_value_that_is_not_json_is_a_dead_letter(text: str) -> None:
    with pytest.raises(Permanent, match="template_failed"):
        built(gitlab, {**PIPELINE, "inputs": {"n": {"json": "{{ data }}"}}}, text)


@pytest.mark.parametrize(("name", "field"), [("branch", "branchName"), ("tag", "tagName"), ("commit", "commitSha")])
def test_a_trigger_runs_at_a_revision_with_the_accounts_own_token(name: str, field: str) -> None:
    request = built(cloud_build, {**TRIGGER, "secret": None, "ref": "v1", "ref_type": name})
    assert json_of(request)["source"] == {field: "v1"}
    assert request.auth == (GoogleOAuthRequestAuth(scheme="google_oauth"),)
    assert "source" not in json_of(built(cloud_build, {**TRIGGER, "secret": None}))


@pytest.mark.parametrize("url", ["http://a/b:webhook?key=1", "https://cloudbuild.googleapis.com/v1/x:run", "x"])
def test_a_secret_that_is_no_webhook_of_a_trigger_waits_for_its_correction(url: str) -> None:
    with pytest.raises(Temporary, match="secret_unusable"):
        request_of(cloud_build, {"secret": None, "webhook_secret": "key"}, None, {"key": url})


def test_a_value_of_an_event_adds_no_parameter() -> None:
    request = built(jenkins, {**JOB, "parameters": {"A": "{{ data }}"}}, "1&B=2\r\nC: 3\ud800")
    assert parse_qsl(request.body.decode()) == [("A", "1&B=2\r\nC: 3?")]


def test_a_parameter_named_like_a_setting_with_a_secret_names_none() -> None:
    settings = gitlab.Settings.model_validate({**PIPELINE, "secret": "key", "variables": {"client_secret": "none"}})
    assert [*secret_names(settings.model_dump(mode="json"))] == ["key"]


def test_a_payload_that_github_would_reject_is_a_dead_letter() -> None:
    with pytest.raises(Permanent, match="output_too_large"):
        built(github, {**DISPATCH, "payload": {"a": "{{ data }}"}}, "x" * 70_000)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (github, {"repository": "o/r"}),
        (github, {**WORKFLOW, "event_type": "order"}),
        (github, {"repository": "o/r", "workflow": "deploy.yml"}),
        (github, {**DISPATCH, "inputs": {"a": "b"}}),
        (github, {**WORKFLOW, "ref": "{{ data.ref }}"}),
        (github, {**WORKFLOW, "workflow": "{{ data.workflow }}"}),
        (github, {**WORKFLOW, "inputs": {"{{ data.name }}": "x"}}),
        (github, {**WORKFLOW, "inputs": {f"i{n}": "x" for n in range(26)}}),
        (github, {**DISPATCH, "payload": {f"i{n}": "x" for n in range(11)}}),
        (github, {**WORKFLOW, "repository": "o/r/../x"}),
        (gitlab, {**PIPELINE, "project": "{{ data.project }}"}),
        (gitlab, {**PIPELINE, "inputs": {"a": {"json": "{{ data. }}"}}}),
        (gitlab, {"project": "g/p"}),
        (jenkins, {**JOB, "job": "/a"}),
        (cloud_build, {"project": "p"}),
        (cloud_build, {**TRIGGER, "substitutions": {"version": "x"}}),
        (cloud_build, {**TRIGGER, "webhook_secret": "key"}),
        (cloud_build, {**TRIGGER, "trigger": "{{ data.trigger }}"}),
        (jenkins, {**JOB, "url": "https://jenkins.example.com/?a=b"}),
    ],
)
def test_settings_that_cannot_work_are_rejected(kind: ModuleType, settings: JsonObject) -> None:
    with pytest.raises(ValueError, match="validation error"):
        built(kind, settings)


@pytest.mark.parametrize(
    ("kind", "status", "body", "answer"),
    [
        (
            github,
            200,
            {"html_url": "https://github.com/o/r/actions/runs/7"},
            "200 run https://github.com/o/r/actions/runs/7",
        ),
        (github, 200, {"html_url": "javascript:x"}, "200 run"),
        (github, 204, b"", "204"),
        (
            gitlab,
            201,
            {"web_url": "https://gitlab.com/g/p/-/pipelines/7"},
            "201 pipeline https://gitlab.com/g/p/-/pipelines/7",
        ),
        (jenkins, 201, b"", "201 queued"),
        (cloud_build, 200, {"metadata": {"build": {"logUrl": LOG}}}, f"200 build {LOG}"),
        (cloud_build, 200, {}, "200 build"),
    ],
)
def test_the_answer_shows_the_build(kind: ModuleType, status: int, body: "Json | bytes", answer: str) -> None:
    assert outcome_of(kind, status, body) == Delivered(answer)


def test_the_answer_of_jenkins_shows_the_item_of_the_queue() -> None:
    outcome = outcome_of(jenkins, 201, b"", location="https://jenkins.example.com/queue/item/7/")
    assert outcome == Delivered("201 queued https://jenkins.example.com/queue/item/7/")


@pytest.mark.parametrize(
    ("kind", "status", "kind_of_outcome"),
    [
        (github, 401, Disabled),
        (github, 403, Disabled),
        (github, 404, Disabled),
        (github, 422, Failed),
        (github, 500, RetryLater),
        (gitlab, 400, Failed),
        (gitlab, 401, Disabled),
        (gitlab, 403, Disabled),
        (gitlab, 404, Disabled),
        (gitlab, 429, RetryLater),
        (jenkins, 302, RetryLater),
        (jenkins, 400, Failed),
        (jenkins, 401, Disabled),
        (jenkins, 404, Disabled),
        (jenkins, 503, RetryLater),
        (cloud_build, 400, Failed),
        (cloud_build, 403, Disabled),
        (cloud_build, 404, Disabled),
        (cloud_build, 429, RetryLater),
    ],
)
def test_an_answer_is_judged_as_the_service_means_it(kind: ModuleType, status: int, kind_of_outcome: type) -> None:
    assert isinstance(outcome_of(kind, status), kind_of_outcome)


@pytest.mark.parametrize(
    ("status", "body", "headers", "wait"),
    [
        (429, b"", {"retry_after": "30"}, 30.0),
        (403, b"", {"retry_after": "60"}, 60.0),
        (403, b"", {"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(int(NOW) + 600)}, 600.0),
        (403, {"message": "You have exceeded a secondary rate limit."}, {}, None),
    ],
)
def test_a_rate_limit_of_github_is_no_lack_of_rights(
    status: int, body: "Json | bytes", headers: dict[str, str], wait: float | None
) -> None:
    outcome = outcome_of(github, status, body, **headers)
    assert isinstance(outcome, RetryLater)
    assert outcome.after_seconds == wait


@pytest.mark.parametrize("kind", [github, gitlab, jenkins, cloud_build])
def test_a_repeat_would_be_another_build(kind: ModuleType) -> None:
    assert not hasattr(kind, "DEDUPES_REPEATS")
