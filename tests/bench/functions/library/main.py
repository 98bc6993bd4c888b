"""What the documentation of google-cloud-pubsub leads to: publish, and wait for the confirmation."""

import json

import functions_framework
from flask import Request
from google.cloud import pubsub_v1

publisher = pubsub_v1.PublisherClient()
topic = publisher.topic_path("bench", "events")


@functions_framework.http
def library(request: Request) -> str:
    message_id = publisher.publish(topic, request.get_data()).result(timeout=4)
    return json.dumps({"id": message_id})
