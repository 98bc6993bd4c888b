"""Google Cloud Build: a run of a trigger, through its API or through the URL of a webhook trigger.

https://cloud.google.com/build/docs/api/reference/rest/v1/projects.locations.triggers/run
https://cloud.google.com/build/docs/automate-builds-webhook-events
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, model_validator

from functions.notify import builds, destination, http_kind
from shared.config.rules import SecretName
from shared.delivery import Delivery, Outcome
from shared.jsontext import JsonObject
from shared.outgoing.auth import GoogleOAuthRequestAuth

API: Final = "https://cloudbuild.googleapis.com"
SOURCES: Final[Mapping[str, str]] = {"branch": "branchName", "tag": "tagName", "commit": "commitSha"}
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]


class Settings(builds.RefSettings):
    """Runs of a Google Cloud Build trigger.

    project, location, trigger   the trigger; `location` is `global` or a region
    ref, ref_type                the revision: a `branch`, a `tag` or a `commit`; without, the trigger's own
    substitutions                values of the build's variables; names begin with `_`
    secret                       a service account's key (JSON); without, this deployment's own account runs it
    webhook_secret               in place of all these but `substitutions`: the URL of a webhook trigger, to which they
                                 are sent as the fields of a JSON object
    """

    extras_with_secret: ClassVar[tuple[str, ...]] = ("crypto",)  # the key signs by RSA

    project: Annotated[str, Field(pattern=r"^[a-z0-9.:-]{1,63}$", examples=["my-project"])] | None = None
    location: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$", examples=["europe-west1"])] = "global"
    trigger: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["deploy-shop"])] | None = None
    ref_type: Literal["branch", "tag", "commit"] = "branch"
    substitutions: dict[Name, builds.Value] = Field(default_factory=dict, max_length=100)
    secret: SecretName | None = None
    webhook_secret: SecretName | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "Settings":
        if self.webhook_secret is not None:
            if self.project or self.trigger or self.ref or self.secret:
                raise ValueError("the URL of `webhook_secret` names the trigger: leave out the other settings")
        elif self.project is None or self.trigger is None:
            raise ValueError("needs `project` and `trigger`, or `webhook_secret`")
        elif wrong := [name for name in self.substitutions if not name.startswith("_") or not name.isupper()]:
            raise ValueError(f"the names of substitutions are `_` and capital letters; got {wrong[0]!r}")
        return self


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Raises Permanent, and Temporary for a secret that is no webhook's URL."""
    values: JsonObject = {**builds.texts_of(settings.substitutions, delivery)}
    if settings.webhook_secret is not None:
        url = _webhook_url(settings.webhook_secret, secrets)
        return http_kind.json_request(url, values, allow_private=settings.allow_private)
    source: JsonObject = {"substitutions": values} if values else {}
    if ref := builds.ref_of(settings, delivery):
        source[SOURCES[settings.ref_type]] = ref
    body: JsonObject = {"projectId": settings.project, "triggerId": settings.trigger}
    if source:
        body["source"] = source
    place = f"projects/{settings.project}/locations/{settings.location}/triggers/{settings.trigger}"
    auth = (GoogleOAuthRequestAuth(scheme="google_oauth", secret=settings.secret),)
    return http_kind.json_request(f"{API}/v1/{place}:run", body, auth=auth, allow_private=settings.allow_private)


def outcome(response: http_kind.Response) -> Outcome:
    if response.status == 200:
        return builds.started(response, "build", response.member("metadata", "build", "logUrl"))
    advice = "correct the trigger and its region, or let the account run it (Cloud Build Editor) and enable the API"
    return http_kind.outcome_by_status(response, "Cloud Build", failed={400, 413}, held_advice=advice)


def _webhook_url(name: str, secrets: http_kind.SecretValues) -> str:
    url = secrets[name][0].strip()
    if not url.startswith("https://") or ":webhook?" not in url or len(url.split()) != 1:
        raise http_kind.unusable_secret(
            name, "must be the URL that the webhook trigger's page shows, https://…:webhook?key=…"
        )
    return url
