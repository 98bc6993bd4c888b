"""google-api-python-client's Pub/Sub, each answer checked against the description that made the client."""

import json
from typing import TypedDict

import pytest

from shared.jsontext import Json, JsonObject
from tests.discovery import faults_in


class PubsubMessage(TypedDict, total=False):
    data: str
    attributes: dict[str, str]
    messageId: str
    publishTime: str


class ReceivedMessage(TypedDict, total=False):
    ackId: str
    message: PubsubMessage
    deliveryAttempt: int


class Named(TypedDict, total=False):
    name: str


class Answer(TypedDict, total=False):
    """Of any method: what the tests look at."""

    name: str
    topic: str
    labels: dict[str, str]
    ackDeadlineSeconds: int
    retryPolicy: dict[str, str]
    messageRetentionDuration: str
    detached: bool
    messageIds: list[str]
    receivedMessages: list[ReceivedMessage]
    topics: list[Named]
    nextPageToken: str


class GoogleClient:
    def __init__(self, url: str) -> None:
        discovery = pytest.importorskip("googleapiclient.discovery", reason="pip install google-api-python-client")
        cache = pytest.importorskip("googleapiclient.discovery_cache")
        credentials = pytest.importorskip("google.auth.credentials")
        self.description: JsonObject = json.loads(cache.get_static_doc("pubsub", "v1"))
        self._service = discovery.build(
            "pubsub", "v1", credentials=credentials.AnonymousCredentials(), client_options={"api_endpoint": url}
        )

    def close(self) -> None:
        self._service.close()

    def ask(self, method: str, **parameters: Json) -> Answer:
        """`topics.create` and the like. Raises googleapiclient's HttpError."""
        *collections, name = method.split(".")
        target = self._service.projects()
        for collection in collections:
            target = getattr(target, collection)()
        answer: Answer = getattr(target, name)(**parameters).execute()
        faults = faults_in(json.loads(json.dumps(answer)), self._answer_schema(collections, name), self._schemas())
        assert faults == []
        return answer

    def _schemas(self) -> JsonObject:
        return _member(self.description, "schemas")

    def _answer_schema(self, collections: list[str], name: str) -> JsonObject:
        found = self.description
        for collection in ("projects", *collections):
            found = _member(_member(found, "resources"), collection)
        return _member(_member(_member(found, "methods"), name), "response")


def _member(value: JsonObject, name: str) -> JsonObject:
    found = value[name]
    assert isinstance(found, dict)
    return found
