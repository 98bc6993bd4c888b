"""How long a message that was not acknowledged waits."""

from dataclasses import dataclass
from typing import Final

# Google redelivers "as soon as possible" without a retry policy; a little later, so that a broken endpoint
# does not keep two processes busy.
WITHOUT_POLICY_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Google's defaults: https://cloud.google.com/pubsub/docs/handling-failures#exponential_backoff."""

    minimum_seconds: float = 10.0
    maximum_seconds: float = 600.0


def retry_delay(policy: RetryPolicy | None, failures: int) -> float:
    """Seconds until the next delivery after so many failed ones: doubled each time, within the policy's bounds."""
    if policy is None:
        return WITHOUT_POLICY_SECONDS
    return min(policy.maximum_seconds, policy.minimum_seconds * 2.0 ** min(failures - 1, 60))
