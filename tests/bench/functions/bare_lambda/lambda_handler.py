"""The least of a handler that sends to a queue: it imports boto3 and makes a client of SQS, and answers."""

import boto3

client = boto3.client("sqs")


def handler(_event: object, _context: object) -> dict[str, object]:
    return {"statusCode": 200, "body": '{"id": "0"}'}
