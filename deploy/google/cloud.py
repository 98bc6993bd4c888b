"""A deployment on Google Cloud, for the commands that read its state."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.google.api import ApiError, GoogleApi, NotSignedIn, token_of
from deploy.google.gcloud import Gcloud, configured_project
from deploy.google.names import service
from deploy.google.target import Target, find_target
from deploy.terminal.command_line import CommandError
from shared.jsontext import JsonObject


@dataclass(frozen=True, slots=True)
class CloudDeployment:
    target: Target
    gcloud: Gcloud
    api: GoogleApi

    def service(self, function: str) -> JsonObject | None:
        """Return the service as Cloud Run's API v2 describes it; None if it is not deployed. Raises CommandError."""
        name = service(self.target, function)
        path = f"/v2/projects/{self.target.project}/locations/{self.target.region}/services/{name}"
        try:
            return self.api.get("run", path)
        except NotSignedIn as fault:
            raise CommandError(str(fault)) from fault
        except ApiError as fault:
            if fault.status == 404 or fault.reason == "SERVICE_DISABLED":
                return None
            raise CommandError(f"Cloud Run, {name}: {fault}") from fault

    def receive_url(self) -> str:
        """Raises CommandError."""
        return self.function_url("receive")

    def function_url(self, function: str) -> str:
        """Return the one of the service's URLs that the deployment printed. Raises CommandError."""
        found = self.service(function)
        if found is None or not isinstance(found.get("uri"), str):
            where = f"{self.target.project}, {self.target.region}"
            raise CommandError(f"{service(self.target, function)} is not deployed in {where}: make deploy-gcp")
        urls = found.get("urls")
        listed = [str(url) for url in urls] if isinstance(urls, list) else []
        printed = (url for url in listed if url.endswith(f".{self.target.region}.run.app"))
        return next(printed, str(found["uri"]))


def target_of(options: argparse.Namespace, environ: Mapping[str, str]) -> Target:
    """Return the deployment that the options name. Raises TargetFault."""
    return find_target(options, environ, lambda: configured_project(Gcloud()))


def cloud_deployment(target: Target) -> CloudDeployment:
    gcloud = Gcloud(target.project)
    return CloudDeployment(target, gcloud, GoogleApi(target.project, token_of(gcloud)))
