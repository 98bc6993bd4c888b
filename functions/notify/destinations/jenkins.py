"""Jenkins: a build of a job.

https://www.jenkins.io/doc/book/using/remote-access-api/
"""

from typing import Annotated
from urllib.parse import quote, urlencode

from pydantic import Field

from functions.notify import builds, destination, http_kind, kind_settings
from shared.config.rules import SecretName
from shared.delivery import Delivery, Outcome

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,254}$")]


class Settings(builds.BuildSettings):
    """Builds of a Jenkins job.

    url          the address of Jenkins
    job          the job's name, with its folders: `folder/name`
    username     the user whose API token the secret is
    secret       the API token
    parameters   the parameters that the job declares
    """

    secret: SecretName
    url: kind_settings.ServerAddress
    job: Annotated[str, Field(pattern=r"^[^/\x00-\x1f]+(/[^/\x00-\x1f]+)*$", examples=["folder/name"], max_length=500)]
    username: Annotated[str, Field(pattern=r"^[^:\x00-\x1f]{1,255}$")]
    parameters: dict[Name, builds.Value] = Field(default_factory=dict, max_length=100)


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Raises Permanent."""
    job = "".join([f"/job/{quote(part, safe='')}" for part in settings.job.split("/")])
    return http_kind.OutgoingRequest(
        "POST",
        f"{settings.url}{job}/{'buildWithParameters' if settings.parameters else 'build'}",
        (
            ("content-type", "application/x-www-form-urlencoded"),
            http_kind.basic(settings.username, secrets[settings.secret][0]),
        ),
        urlencode(builds.texts_of(settings.parameters, delivery), errors="replace").encode(),
        allow_private=settings.allow_private,
    )


def outcome(response: http_kind.Response) -> Outcome:
    if response.status == 201:
        return builds.started(response, "queued", response.header("location"))
    advice = "correct `url`, `job` and `username`, or set an API token of a user who may build the job"
    return http_kind.outcome_by_status(response, "Jenkins", failed={400, 413}, held_advice=advice)
