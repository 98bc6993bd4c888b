"""A bundle as it runs on Google Cloud, for the commands that look at it."""

from dataclasses import dataclass

from deploy.google.api import ApiFault, GoogleApi, NotSignedIn, token_of
from deploy.google.gcloud import Gcloud
from deploy.google.names import service
from deploy.google.target import Target
from deploy.terminal.command_error import CommandError
from shared.jsontext import JsonObject


@dataclass(frozen=True, slots=True)
class Cloud:
    target: Target
    gcloud: Gcloud
    api: GoogleApi

    def service(self, function: str) -> JsonObject | None:
        """As Cloud Run's API v2 describes it; None where it is not deployed. Raises CommandError."""
        name = service(self.target, function)
        path = f"/v2/projects/{self.target.project}/locations/{self.target.region}/services/{name}"
        try:
            return self.api.get("run", path)
        except NotSignedIn as fault:
            raise CommandError(str(fault)) from fault
        except ApiFault as fault:
            if fault.status == 404 or fault.reason == "SERVICE_DISABLED":
                return None
            raise CommandError(f"Cloud Run, {name}: {fault}") from fault

    def receive_url(self) -> str:
        """Of a service's URLs the one that its deployment told. Raises CommandError."""
        found = self.service("receive")
        if found is None or not isinstance(found.get("uri"), str):
            where = f"{self.target.project}, {self.target.region}"
            raise CommandError(f"{service(self.target, 'receive')} is not deployed in {where}: make deploy-gcp")
        urls = found.get("urls")
        listed = [str(url) for url in urls] if isinstance(urls, list) else []
        told_by_deploy = (url for url in listed if url.endswith(f".{self.target.region}.run.app"))
        return next(told_by_deploy, str(found["uri"]))


def cloud_of(target: Target) -> Cloud:
    gcloud = Gcloud(target.project)
    return Cloud(target, gcloud, GoogleApi(target.project, token_of(gcloud)))
