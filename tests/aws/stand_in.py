"""CloudFormation, SES's account and Lambda's, which the local AWS lacks, as far as the operator's commands ask."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from shared.jsontext import JsonObject
from tests.stand_ins.http_server import Said, Seen, http_stand_in

_ERROR = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
)
_STACK = """<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>{name}</StackName>
<StackStatus>{status}</StackStatus><CreationTime>2026-03-01T12:00:00Z</CreationTime><Outputs>{outputs}</Outputs>
<Parameters>{parameters}</Parameters></member>
</Stacks></DescribeStacksResult></DescribeStacksResponse>"""
_TEMPLATE = """<GetTemplateResponse><GetTemplateResult><TemplateBody>{body}</TemplateBody></GetTemplateResult>
</GetTemplateResponse>"""
_PARAMETER = "<member><ParameterKey>{key}</ParameterKey><ParameterValue>{value}</ParameterValue></member>"
_OUTPUT = "<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>"


@dataclass(slots=True)
class StandIn:
    """`stacks` are their status and outputs by name; `identities` those that SES has verified.

    `parameters` and `template` are those of each stack. `instances` are those that the account may run of all
    functions at once.
    """

    url: str = ""
    stacks: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    account: JsonObject = field(default_factory=lambda: {"ProductionAccessEnabled": True, "SendingEnabled": True})
    identities: set[str] = field(default_factory=set)
    parameters: dict[str, str] = field(default_factory=dict)
    template: str = ""
    denied: bool = False
    instances: int = 1_000

    def describe_stacks(self, name: str) -> tuple[int, str]:
        if self.denied:
            return 403, _ERROR.format(code="AccessDenied", message="not authorized to perform DescribeStacks")
        if name not in self.stacks:
            return 400, _ERROR.format(code="ValidationError", message=f"Stack with id {name} does not exist")
        status, outputs = self.stacks[name]
        parameters = "".join(_PARAMETER.format(key=key, value=escape(each)) for key, each in self.parameters.items())
        listed = "".join(_OUTPUT.format(key=key, value=escape(value)) for key, value in outputs.items())
        return 200, _STACK.format(name=name, status=status, outputs=listed, parameters=parameters)

    def get(self, path: str) -> tuple[int, JsonObject]:
        if path.startswith("/2016-08-19/account-settings"):
            limits: JsonObject = dict.fromkeys(
                ("ConcurrentExecutions", "UnreservedConcurrentExecutions"), self.instances
            )
            return 200, {"AccountLimit": limits}
        if path == "/v2/email/account":
            return 200, self.account
        identity = unquote(path.removeprefix("/v2/email/identities/"))
        if identity in self.identities:
            return 200, {"IdentityType": "EMAIL_ADDRESS", "VerifiedForSendingStatus": True}
        return 404, {"__type": "NotFoundException", "message": identity}


def _answer(stand_in: StandIn, seen: Seen) -> Said:
    if seen.method == "GET":
        status, document = stand_in.get(seen.path)
        return _said(status, json.dumps(document), "application/json")
    form = parse_qs(seen.body.decode())
    status, text = stand_in.describe_stacks(form.get("StackName", [""])[0])
    if status == 200 and form["Action"] == ["GetTemplate"]:
        text = _TEMPLATE.format(body=escape(stand_in.template))
    return _said(status, text, "text/xml")


def _said(status: int, text: str, content_type: str) -> Said:
    fault = {"x-amzn-errortype": "NotFoundException"} if status == 404 else {}
    return Said(status, text.encode(), {**fault, "Content-Type": content_type})


@contextlib.contextmanager
def standing_in() -> Iterator[StandIn]:
    stand_in = StandIn()
    with http_stand_in(partial(_answer, stand_in)) as stand_in.url:
        yield stand_in
