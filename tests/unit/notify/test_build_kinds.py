"""The kinds of builds: GitHub, GitLab, Jenkins and Cloud Build. No server is needed."""

from contextlib import nullcontext
from types import ModuleType
from typing import Final
from urllib.parse import parse_qsl

import pytest

from functions.notify.destinations import cloud_build, github, gitlab, jenkins
from functions.notify.http_kind import OutgoingRequest
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject
from shared.outgoing.auth import GoogleOAuthRequestAuth
from shared.secrets import secret_names
from tests.unit.notify.http_kinds import json_of, request_of

TOKEN: Final = {"key": "a-token-of-builds"}
WORKFLOW: Final[JsonObject] = {"repository": "o/r", "workflow": "deploy.yml", "ref": "main"}
DISPATCH: Final[JsonObject] = {"repository": "o/r", "event_type": "order"}
PIPELINE: Final[JsonObject] = {"project": "group/sub/shop", "ref": "main"}
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
def test_a_ref_that_the_settings_declare_is_built_and_no_other(kind: ModuleType, settings: JsonObject) -> None:
    declared: JsonObject = {**settings, "ref": "{{ data.ref }}", "allow_refs": ["main", "release/*"]}
    for ref in ("main", "release/1.2"):
        body = json_of(built(kind, declared, {"ref": ref}))
        assert body.get("ref", body.get("source")) in (ref, {"branchName": ref})
    for ref in ("evil", "", "release/$(id)", "release/a b", "release/a\nb", "release/" + "x" * 300):
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
    typed = {"text": "3", "flag": True, "number": 3, "all": {"n": 3}}
    assert json_of(built(gitlab, {**PIPELINE, "inputs": inputs}, {"n": 3}))["inputs"] == typed
    as_texts = {"text": "3", "flag": "true", "number": "3", "all": '{"n":3}'}
    assert json_of(built(github, {**WORKFLOW, "inputs": inputs}, {"n": 3}))["inputs"] == as_texts


def test_a_trigger_runs_at_a_revision_with_the_accounts_own_token() -> None:
    request = built(cloud_build, {**TRIGGER, "secret": None, "ref": "v1", "ref_type": "tag"})
    assert json_of(request)["source"] == {"tagName": "v1"}
    assert request.auth == (GoogleOAuthRequestAuth(scheme="google_oauth"),)
    assert "source" not in json_of(built(cloud_build, {**TRIGGER, "secret": None}))


def test_a_value_of_an_event_adds_no_parameter() -> None:
    request = built(jenkins, {**JOB, "parameters": {"A": "{{ data }}"}}, "1&B=2\r\nC: 3\ud800")
    assert parse_qsl(request.body.decode()) == [("A", "1&B=2\r\nC: 3?")]


def test_a_parameter_named_like_a_setting_with_a_secret_names_none() -> None:
    settings = gitlab.Settings.model_validate({**PIPELINE, "secret": "key", "variables": {"client_secret": "none"}})
    assert [*secret_names(settings.model_dump(mode="json"))] == ["key"]
