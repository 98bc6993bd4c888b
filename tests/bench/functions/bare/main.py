"""The least a function can be: what the others are measured against."""

import functions_framework
from flask import Request


@functions_framework.http
def bare(request: Request) -> str:
    return '{"id": "0"}'
