"""The condition `success_when`, which decides what is a success if a receiver answers 200 to everything."""

from typing import Final

from functions.notify.http_kind import Response
from shared import errors, expressions, jsontext
from shared.time_bound import MAX_COMPUTING_SECONDS, OutOfTime, bounded

NAMES: Final = ("status", "headers", "body")


class SuccessCondition:
    """A JMESPath condition over a response. Raises ExpressionFault for a text that is not an expression."""

    def __init__(self, text: str) -> None:
        self._expression = expressions.Expression(text, NAMES)

    def failure_in(self, response: Response) -> str | None:
        """Return why the response is no success; None if it is one."""
        try:
            with bounded():
                is_success = expressions.is_true(self._expression.search(view_of_response(response)))
        except errors.Permanent as error:
            return f"success_when cannot be computed over the response: {error.detail}"
        except OutOfTime:
            return f"success_when computes for more than {MAX_COMPUTING_SECONDS:g} s over the response"
        return None if is_success else f"the receiver answered {response.status}, but success_when is false"


def view_of_response(response: Response) -> jsontext.JsonObject:
    """Return the values that the condition can use. `body` is the value of the JSON, or the text of any other body.

    The names of headers are in lower case. If a header came twice, the first value is used.
    """
    body: jsontext.Json = response.json()
    if body is None and response.body.strip() != b"null":
        body = response.body.decode("utf-8", "replace")
    return {"status": response.status, "headers": dict(reversed(response.headers)), "body": body}
