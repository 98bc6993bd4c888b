"""GitHub: a workflow run, or a `repository_dispatch` event that starts workflows.

https://docs.github.com/en/rest/actions/workflows#create-a-workflow-dispatch-event
https://docs.github.com/en/rest/repos/repos#create-a-repository-dispatch-event
"""

from typing import Annotated, Final
from urllib.parse import quote

from pydantic import Field, model_validator

from functions.notify import builds, destination, http_kind, kind_settings
from shared import errors, fetch, jsontext
from shared.config.rules import SecretName
from shared.delivery import Delivery, Outcome, RetryLater

API_URL: Final = "https://api.github.com"
MAX_PAYLOAD_BYTES: Final = 65_000
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,99}$")]


class Settings(builds.RefSettings):
    """Runs of a GitHub workflow, or events (`repository_dispatch`) that start workflows.

    repository   `owner/name`
    secret       a token that may write to Actions (`workflow`) or to the repository's contents (`event_type`)
    workflow     the workflow's file name or id: it runs at `ref` with `inputs`
    event_type   the name of the event, with `payload` as its `client_payload`
    api_url      the API of your own GitHub Enterprise Server
    """

    secret: SecretName
    repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}$")]
    workflow: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")] | None = None
    inputs: dict[Name, builds.Value] = Field(default_factory=dict, max_length=25)
    event_type: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:/-]{1,100}$")] | None = None
    payload: dict[Name, builds.Value] = Field(default_factory=dict, max_length=10)
    api_url: kind_settings.ServerAddress = API_URL

    @model_validator(mode="after")
    def _one_way(self) -> "Settings":
        if (self.workflow is None) == (self.event_type is None):
            raise ValueError("needs either `workflow` with `ref`, or `event_type`")
        if self.workflow is not None and (self.ref is None or self.payload):
            raise ValueError("a `workflow` has `ref` and `inputs`, and no `payload`")
        if self.event_type is not None and (self.ref is not None or self.inputs):
            raise ValueError("an `event_type` has `payload`, and neither `ref` nor `inputs`")
        return self


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Raises Permanent."""
    repository = f"{settings.api_url}/repos/{settings.repository}"
    if settings.workflow is not None:
        url = f"{repository}/actions/workflows/{quote(settings.workflow, safe='')}/dispatches"
        body: jsontext.JsonObject = {
            "ref": builds.ref_of(settings, delivery),
            "inputs": {**builds.texts_of(settings.inputs, delivery)},
        }
        if settings.api_url == API_URL:  # GitHub Enterprise Server rejects what it does not know
            body["return_run_details"] = True
    else:
        url = f"{repository}/dispatches"
        body = {"event_type": settings.event_type, "client_payload": builds.values_of(settings.payload, delivery)}
    made = http_kind.json_request(
        url,
        body,
        ("accept", "application/vnd.github+json"),
        http_kind.bearer(secrets[settings.secret][0]),
        ("user-agent", "hookchain"),
        ("x-github-api-version", "2022-11-28"),
        allow_private=settings.allow_private,
    )
    if len(made.body) > MAX_PAYLOAD_BYTES:
        raise errors.Permanent(
            "output_too_large", f"GitHub takes at most {MAX_PAYLOAD_BYTES:,} bytes of inputs or payload"
        )
    return made


def outcome(response: http_kind.Response) -> Outcome:
    status = response.status
    if status == 200:
        return builds.started(response, "run", response.member("html_url"))
    if status in {403, 429} and (status == 429 or _is_rate_limit(response)):
        reset = fetch.reset_seconds(response.header("x-ratelimit-reset"), response.now)
        after = response.retry_after_seconds or reset
        return RetryLater("GitHub limits the rate of requests", after, response.excerpt)
    advice = "correct `repository` and `workflow`, or set a token that may start it"
    return http_kind.outcome_by_status(response, "GitHub", failed={400, 413, 422}, held_advice=advice)


def _is_rate_limit(response: http_kind.Response) -> bool:
    has_wait = response.header("retry-after") is not None or response.header("x-ratelimit-remaining") == "0"
    return has_wait or b"rate limit" in response.body
