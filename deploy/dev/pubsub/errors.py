"""Refusals in Google's form: https://cloud.google.com/apis/design/errors."""

from collections.abc import Mapping
from types import MappingProxyType

from shared.jsontext import JsonObject

HTTP_CODES: Mapping[str, int] = MappingProxyType(
    {
        "INVALID_ARGUMENT": 400,
        "FAILED_PRECONDITION": 400,
        "PERMISSION_DENIED": 403,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "RESOURCE_EXHAUSTED": 429,
        "INTERNAL": 500,
        "UNIMPLEMENTED": 501,
        "UNAVAILABLE": 503,
    }
)


class ApiError(Exception):
    """`status` is a key of HTTP_CODES."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message

    @property
    def http_code(self) -> int:
        return HTTP_CODES[self.status]

    def document(self) -> JsonObject:
        return {"error": {"code": self.http_code, "message": self.message, "status": self.status}}


def invalid(message: str) -> ApiError:
    return ApiError("INVALID_ARGUMENT", message)


def not_found(name: str) -> ApiError:
    return ApiError("NOT_FOUND", f"Resource not found (resource={name.rpartition('/')[2]}).")


def already_exists(name: str) -> ApiError:
    return ApiError("ALREADY_EXISTS", f"Resource already exists in the project (resource={name.rpartition('/')[2]}).")


def not_emulated(what: str) -> ApiError:
    return ApiError("UNIMPLEMENTED", f"UNIMPLEMENTED: this emulator does not have {what}; Google Cloud has it.")
