"""Test cases in a configuration: a request or an event as input, and the deliveries that are expected."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from deploy.config.config_file import ConfigFile, DocumentPath, Fault
from deploy.config.model_faults import fault_at, setting_name, unknown_names
from shared.config.rules import Name, listed
from shared.config.values import Model, Verbatim, VerbatimJson, VerbatimObject

_EventField = Literal["id", "type", "action", "subject", "actor", "time", "receivedat", "data"]


class CaseInput(Model):
    """An unsigned request to a source, or an event.

    `body` is JSON, or a text that is sent as it is; `file` names a file with the body. `event` is the event as receive
    publishes it: `type`, `action`, `subject`, `actor`, `time` and `data`.
    """

    source: Name
    headers: dict[str, str] = Field(default={})
    body: VerbatimJson = None
    file: str | None = None
    event: dict[_EventField, VerbatimJson] | None = None

    @model_validator(mode="after")
    def _has_one_input(self) -> "CaseInput":
        if sum(field in self.model_fields_set for field in ("body", "file", "event")) != 1:
            raise ValueError("must have exactly one of `body`, `file` and `event`")
        return self


class CaseAnswer(Model):
    """The answer of another system to a step's request."""

    status: int = Field(200, ge=100, le=599)
    headers: dict[str, str] = Field(default={})
    body: VerbatimJson = None


class CaseMail(Model):
    """The expected mail of a delivery. `holds` and `lacks` apply to its subject, text, HTML and attachments.

    `attachments`: the names of all its attached files, in any order.
    """

    to: Annotated[list[str], BeforeValidator(listed)] | None = None
    subject: str | None = None
    holds: Annotated[list[Verbatim], BeforeValidator(listed)] = Field(default=[])
    lacks: Annotated[list[Verbatim], BeforeValidator(listed)] = Field(default=[])
    attachments: Annotated[list[str], BeforeValidator(listed)] | None = None


class CaseRequest(Model):
    """The expected request of a delivery to a destination that speaks HTTP. `<secret NAME>` stands for a secret.

    `headers` are some of its headers. `body` is a text, or JSON or the fields of a form of which the request may have
    more. `holds` and `lacks` apply to the URL, the values of the headers and the body, as they are sent and as the
    receiver reads them: `lacks: ada@example.com` fails if a form has `ada%40example.com`.
    """

    method: str | None = None
    url: str | None = None
    headers: dict[str, str] = Field(default={})
    body: VerbatimJson = None
    holds: Annotated[list[Verbatim], BeforeValidator(listed)] = Field(default=[])
    lacks: Annotated[list[Verbatim], BeforeValidator(listed)] = Field(default=[])


class CaseDelivery(Model):
    """An expected delivery. A field that is left out may have any value.

    `row` has some columns of the row that a destination of the kind `sql` writes: true is 1, and a time is in UTC.
    """

    to: Name
    route: str | None = None
    type: str | None = None
    subject: str | None = None
    actor: str | None = None
    data: VerbatimJson = None
    mail: CaseMail | None = None
    request: CaseRequest | None = None
    row: VerbatimObject | None = None


class CaseConfig(Model):
    """A test case.

    expect    all deliveries, in any order; an empty list expects none. It may be left out beside `fails`
    answers   the answers of other systems, by the URL that a step requests
    fails     the code with which a chain, a mail, a request or a row must fail; without it, a failure fails the test
    """

    name: str = Field(min_length=1, max_length=100)
    input: CaseInput
    answers: dict[str, CaseAnswer] = Field(default={})
    expect: list[CaseDelivery] = Field(default=[])
    fails: str | None = Field(None, pattern=r"^[a-z][a-z0-9_]*$")

    @model_validator(mode="after")
    def _expects_something(self) -> "CaseConfig":
        if self.fails is None and "expect" not in self.model_fields_set:
            raise ValueError("must have `expect` (an empty list expects no delivery) or `fails`")
        return self


def case_faults(file: ConfigFile) -> Iterator[Fault]:
    """Yield faults of the cases' names, and of the sources, destinations, routes and files that they name."""
    earlier_names: set[str] = set()
    routes = [str(route.get("name")) for _, route in file.numbered_mappings("routes")]
    for number, case in file.numbered_mappings("tests"):
        case_path: DocumentPath = ("tests", number)
        name = str(case.get("name"))
        if name in earlier_names:
            yield Fault(file.line((*case_path, "name")), setting_name(file, case_path), "another test has this name")
        earlier_names.add(name)
        yield from unknown_names(file, (*case_path, "input", "source"), "source")
        body_path: DocumentPath = (*case_path, "input", "file")
        body_file = file.value(*body_path)
        if isinstance(body_file, str) and not _is_file(file.folder / body_file):
            rule = f"there is no file {body_file!r}, relative to the configuration's folder"
            yield fault_at(file, body_path, rule)
        for position, _ in file.numbered_mappings(*case_path, "expect"):
            delivery_path: DocumentPath = (*case_path, "expect", position)
            yield from unknown_names(file, (*delivery_path, "to"), "destination")
            yield from unknown_names(file, (*delivery_path, "route"), "route", routes)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long, for example
        return False
