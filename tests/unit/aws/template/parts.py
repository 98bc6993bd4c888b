"""Parts of a template."""

from deploy.aws import template_names as names
from deploy.aws.resources.stores import CREATE_REQUESTS

ITEMS = ("BatchGetItem", "DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem")
SECRET = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:${Prefix}"


def rights(*pairs: tuple[str, tuple[str, ...], tuple[str, ...]]) -> set[tuple[str, str]]:
    return {
        (f"{service}:{action}", on) for service, actions, resources in pairs for action in actions for on in resources
    }


def tables(*wanted: str) -> tuple[str, ...]:
    found = [name for name in wanted if "GlobalSecondaryIndexes" in CREATE_REQUESTS[name]]
    return (*map(names.table, wanted), *(f"{names.table(name)}/index/*" for name in found))


def log_rights(name: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    return ("logs", ("CreateLogStream", "PutLogEvents"), (f"{name}Log",))
