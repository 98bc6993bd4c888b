"""A test of the configuration, written in it: a request or an event in, the deliveries that should come of it."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from shared.config.values import Model, Name, listed


class CaseInput(Model):
    """What came to a source. `body` is JSON, or a text sent as it is; `file` holds one. Nobody signs it.

    `event` holds instead what the event is after receive: `type`, `subject`, `actor`, `time` and `data`.
    """

    source: Name
    headers: dict[str, str] = Field(default={})
    body: JsonValue = None
    file: str | None = None
    event: dict[Literal["id", "type", "subject", "actor", "time", "receivedat", "data"], JsonValue] | None = None

    @model_validator(mode="after")
    def _one_input(self) -> "CaseInput":
        if sum(given in self.model_fields_set for given in ("body", "file", "event")) != 1:
            raise ValueError("an input has one of `body`, `file` and `event`")
        return self


class CaseAnswer(Model):
    """What another system answers a step that asks it."""

    status: int = Field(200, ge=100, le=599)
    headers: dict[str, str] = Field(default={})
    body: JsonValue = None


class CaseMail(Model):
    """The mail that the delivery makes. `holds` and `lacks` apply to its subject, text and HTML together.

    `attachments`: the names of all its attached files, in any order.
    """

    to: Annotated[list[str], BeforeValidator(listed)] | None = None
    subject: str | None = None
    holds: Annotated[list[str], BeforeValidator(listed)] = Field(default=[])
    lacks: Annotated[list[str], BeforeValidator(listed)] = Field(default=[])
    attachments: Annotated[list[str], BeforeValidator(listed)] | None = None


class CaseDelivery(Model):
    """One delivery that should come of it; what it does not say may be anything."""

    to: Name
    route: str | None = None
    type: str | None = None
    subject: str | None = None
    actor: str | None = None
    data: JsonValue = None
    mail: CaseMail | None = None


class CaseConfig(Model):
    """`expect`: all the deliveries, in any order; none where it is empty. `answers` by the URLs that steps ask.

    `fails`: the code with which a chain or a mail is expected to fail. Without it, an event that fails fails the test.
    """

    name: str = Field(min_length=1, max_length=100)
    input: CaseInput
    answers: dict[str, CaseAnswer] = Field(default={})
    expect: list[CaseDelivery]
    fails: str | None = Field(None, pattern=r"^[a-z][a-z0-9_]*$")
