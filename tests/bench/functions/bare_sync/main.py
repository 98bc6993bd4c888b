"""A synchronous function that does nothing."""

import functions_framework
from flask import Request


@functions_framework.http
def bare_sync(request: Request) -> str:
    return '{"id": "0"}'
