"""The outcome of a delivery by the answer of Cloud Storage or S3 to the creation of its object.

https://cloud.google.com/storage/docs/json_api/v1/status-codes
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

import re
from typing import Final

from functions.notify.google_calls import error_reasons
from functions.notify.http_kind import Response, held, outcome_by_status
from shared.delivery import Delivered, Outcome, RetryLater

EXISTS: Final = "the object was there already: an earlier attempt made it"
_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,100})</Code>")
_PASSING: Final = re.compile(
    r"Expired|IncompleteBody|RequestTimeout|RequestTimeTooSkewed|SlowDown|Throttl|TokenRefreshRequired|BadDigest"
)
"""In the name of an error of S3 that passes. The throttling may be that of the bucket's key (KMS)."""
_OF_THE_BUCKET: Final = re.compile(
    r"KMS|AuthorizationHeaderMalformed|IllegalLocationConstraint|InvalidToken|InvalidBucketName|NoSuchBucket"
)
"""In the name of an error of S3 that every object meets until the operator acts, although its status is 400."""
_NO_DELETE: Final = b"storage.objects.delete"
"""Cloud Storage asks for this right of who would replace an object, so its lack says that the object is there."""
_TAKEN: Final = "conditionNotMet"
_GOOGLE_HELD: Final = re.compile(r"cloudKms|userProject|badRequest")
"""In a reason of Cloud Storage for a 400 that is about the bucket, its key or its project, and about no object."""
_ACT: Final = "correct the bucket, or let the account create objects there (Storage Object Creator)"


def is_taken(response: Response) -> bool:
    """Return whether the answer says that an object has the key. A 412 may also be that of an organization's policy."""
    if response.status == 412:
        reasons = error_reasons(response.json())
        return not reasons or _TAKEN in reasons
    return response.status == 403 and _NO_DELETE in response.body


def outcome(response: Response) -> Outcome:
    """Return the outcome. A key that is taken gets here only where it holds the delivery's id."""
    if response.body.lstrip().startswith(b"<"):
        return _s3_outcome(response)
    if is_taken(response):
        return Delivered(EXISTS)
    reasons = error_reasons(response.json())
    if response.status == 412:
        rule = f"it takes no object ({', '.join(sorted(reasons))}): change the policy, or the bucket's encryption"
        return held(response, "the bucket's service", rule)
    if response.status == 400 and (found := next(filter(_GOOGLE_HELD.match, sorted(reasons)), None)):
        rule = f"it takes no object ({found}): correct the bucket's encryption key, or its project"
        return held(response, "the bucket's service", rule)
    if response.status in {401, 403, 404}:
        return held(response, "the bucket's service", _ACT)
    return outcome_by_status(response, "the bucket's service", failed={400, 413})


def _s3_outcome(response: Response) -> Outcome:
    status, found = response.status, _CODE.search(response.body)
    code = found[1].decode() if found else ""
    if status == 412:
        return Delivered(EXISTS)
    if _PASSING.search(code):
        return RetryLater(f"S3 answered {status} {code}", response.retry_after_seconds, response.excerpt)
    if status == 501:
        return held(response, "the endpoint", "it does not create objects conditionally (If-None-Match): use another")
    if status in {301, 401, 403, 404} or _OF_THE_BUCKET.search(code):
        act = f"{code}: correct the bucket, its region or its key, or let the role create objects there (s3:PutObject)"
        return held(response, "S3", act.removeprefix(": "))
    return outcome_by_status(response, "S3", failed={400, 413})
