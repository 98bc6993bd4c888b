"""GitLab: a pipeline, started with a trigger token.

https://docs.gitlab.com/api/pipeline_triggers/#trigger-a-pipeline-with-a-token
"""

from typing import Annotated
from urllib.parse import quote

from pydantic import Field

from functions.notify import builds, destination, http_kind, kind_settings
from shared.config.rules import SecretName
from shared.delivery import Delivery, Outcome
from shared.jsontext import JsonObject

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,254}$")]


class Settings(builds.RefSettings):
    """Pipelines in GitLab, started with a pipeline trigger token.

    project     the project's path (`group/name`) or id
    secret      a pipeline trigger token of the project
    ref         the branch or tag
    inputs      the pipeline's inputs, each with the type that it declares
    variables   CI/CD variables, which are text; inputs are safer, because the pipeline declares them
    url         the address of your own GitLab
    """

    secret: SecretName
    project: Annotated[str, Field(pattern=r"^([0-9]{1,20}|[\w.-]+(/[\w.-]+){1,20})$", examples=["group/name"])]
    ref: builds.Ref
    inputs: dict[Name, builds.Value] = Field(default_factory=dict, max_length=20)
    variables: dict[Name, builds.Value] = Field(default_factory=dict, max_length=100)
    url: kind_settings.ServerAddress = "https://gitlab.com"


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Raises Permanent."""
    body: JsonObject = {"token": secrets[settings.secret][0], "ref": builds.ref_of(settings, delivery)}
    if settings.inputs:
        body["inputs"] = builds.values_of(settings.inputs, delivery)
    if settings.variables:
        body["variables"] = {**builds.texts_of(settings.variables, delivery)}
    url = f"{settings.url}/api/v4/projects/{quote(settings.project, safe='')}/trigger/pipeline"
    return http_kind.json_request(url, body, allow_private=settings.allow_private)


def outcome(response: http_kind.Response) -> Outcome:
    if response.status == 201:
        return builds.started(response, "pipeline", response.member("web_url"))
    advice = "correct `project`, or set a trigger token whose owner may start pipelines there"
    return http_kind.outcome_by_status(response, "GitLab", failed={400, 413, 422}, held_advice=advice)
