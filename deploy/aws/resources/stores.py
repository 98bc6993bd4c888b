"""The stores: DynamoDB's tables, and the bucket of large bodies.

A deployment has all tables, also that of subscribers' documents where its configuration has none. An empty table costs
nothing. One that came and went with the configuration would outlive its stack, which could not create it again.
"""

import math
from collections.abc import Mapping
from typing import Final

from deploy.aws import template_names as names
from deploy.aws.yaml_text import Fields, Node, get_att, ref, sub
from deploy.cloud_access import aws_names
from deploy.topology.functions import Store
from deploy.topology.topology import Topology
from shared.cloud.aws import tables

TABLES_OF: Final[Mapping[Store, tuple[str, ...]]] = {
    "ledger": (tables.DELIVERIES.name, tables.DESTINATIONS.name),
    "journal": (tables.EVENTS.name, tables.BODIES.name, tables.DEAD_LETTERS.name),
    "owners": (tables.OWNERS.name,),
    "grants": (tables.GRANTS.name,),
    "documents": (tables.DOCUMENTS.name,),
}
CREATE_REQUESTS: Final[Mapping[str, Fields]] = {
    each.name: tables.create_request(each, names.PREFIX) for each in tables.TABLES
}
"""By the table's name."""


DAY_SECONDS: Final = 86_400
_RETAINED: Final[Fields] = {
    "# Kept if the stack is deleted: it has every claim and every record": None,
    "DeletionPolicy": "RetainExceptOnCreate",
    "UpdateReplacePolicy": "Retain",
}


def stores(topology: Topology) -> dict[str, Node]:
    return {
        "# Tables: the ledger, the journal, which event was first with a key, caps, and subscribers": None,
        **{names.table(name): _table(request) for name, request in CREATE_REQUESTS.items()},
        "# The bucket of bodies that are too large for a queue": None,
        names.BUCKET: _bucket(topology.blobs_seconds),
        f"{names.BUCKET}Policy": _bucket_policy(),
    }


def _table(request: Fields) -> Node:
    return {
        "Type": "AWS::DynamoDB::Table",
        **_RETAINED,
        "Properties": {
            "TableName": sub(str(request["TableName"])),
            **{key: value for key, value in request.items() if key != "TableName"},
            "TimeToLiveSpecification": {"AttributeName": tables.EXPIRES_AT, "Enabled": True},
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "# Encrypted with a key of DynamoDB's. True would mean a key of KMS, whose use is charged": None,
            "SSESpecification": {"SSEEnabled": False},
            "Tags": names.tags(),
        },
    }


def _bucket(kept_seconds: float) -> Node:
    rule: Fields = {
        "Id": "expire",
        "Status": "Enabled",
        "# As long as a replay, a retry or a dead letter may need a body": None,
        "ExpirationInDays": max(1, math.ceil(kept_seconds / DAY_SECONDS)),
    }
    encryption: Fields = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    return {
        "Type": "AWS::S3::Bucket",
        **_RETAINED,
        "Properties": {
            "BucketName": sub(aws_names.bucket(names.PREFIX, "${AWS::AccountId}", "${AWS::Region}")),
            "BucketEncryption": {"ServerSideEncryptionConfiguration": [encryption]},
            "LifecycleConfiguration": {"Rules": [rule]},
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "Tags": names.tags(),
        },
    }


def _bucket_policy() -> Node:
    statement: Fields = {
        "# TLS only": None,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [get_att(names.BUCKET), sub(f"${{{names.BUCKET}.Arn}}/*")],
        "Condition": {"Bool": {"aws:SecureTransport": False}},
    }
    document: Fields = {"Version": "2012-10-17", "Statement": [statement]}
    return {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {"Bucket": ref(names.BUCKET), "PolicyDocument": document},
    }
