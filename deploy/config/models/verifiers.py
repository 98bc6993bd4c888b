"""The ways of proof that one provider alone has, each with a module of its own in shared/signatures."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from deploy.config.models.conditional import Conditional
from deploy.config.models.signed import MAX_TOLERANCE_SECONDS
from shared.config.values import SecretName, listed
from shared.signatures.timestamps import TOLERANCE_SECONDS

Texts = Annotated[list[str], BeforeValidator(listed)]


class AwsSnsAuth(Conditional):
    """Amazon SNS, by its certificate. Anybody can make a topic: `topics` are the ARNs or account ids that may send."""

    scheme: Literal["aws-sns"]
    topics: Texts | None = None
    tolerance_seconds: int = Field(3600, ge=1, le=MAX_TOLERANCE_SECONDS)


class PayPalAuth(Conditional):
    """PayPal, by its certificate."""

    scheme: Literal["paypal"]
    webhook_id: str
    tolerance_seconds: int = Field(TOLERANCE_SECONDS, ge=1, le=MAX_TOLERANCE_SECONDS)


class ContentfulAuth(Conditional):
    """Contentful's canonical request."""

    scheme: Literal["contentful"]
    secret: SecretName
    tolerance_seconds: int = Field(30, ge=1, le=MAX_TOLERANCE_SECONDS)
