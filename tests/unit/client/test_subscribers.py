import inspect
import json
import re
from collections.abc import Iterator
from typing import Final, get_type_hints, is_typeddict

import pytest

from deploy.client.hookchain import subscribers_types
from deploy.client.hookchain.http import NoResponse, Response
from deploy.client.hookchain.subscribers import Attempts, Subscribers, SubscribersError
from deploy.client.hookchain.subscribers_api import Headers
from shared.jsontext import Json, JsonObject, list_at
from tests.fakes.receiver import http_answer, receiver
from tests.running.processes import ROOT

API: Final = json.loads((ROOT / "functions" / "subscribe" / "openapi.json").read_text(encoding="utf-8"))
SCHEMAS: Final = API["components"]["schemas"]
TYPES: Final = [each for each in vars(subscribers_types).values() if is_typeddict(each)]
SAMPLES: Final = {
    "str": "x",
    "int": 60,
    "bool": True,
    "Sequence": ["x"],
    "Mapping": {"a": "x"},
    "Auth": {"kind": "bearer"},
}


def operations() -> Iterator[tuple[str, str, JsonObject]]:
    for path, item in API["paths"].items():
        for method in ("get", "put", "post", "patch", "delete"):
            if method in item:
                yield method.upper(), path, {**item[method], "parameters": parameters(item) + parameters(item[method])}


def parameters(holder: JsonObject) -> list[Json]:
    return list_at(holder.get("parameters", []))


OPERATIONS: Final = {str(each["operationId"]): (method, path, each) for method, path, each in operations()}


def names_of(operation: JsonObject) -> set[str]:
    """The arguments that an operation has, as the client names them."""
    names = {str(each["name"]) for each in parameters(operation) if isinstance(each, dict)}
    for header, argument in (("Idempotency-Key", "idempotency_key"), ("If-Match", "if_match")):
        if header in names:
            names = names - {header} | {argument}
    body = operation.get("requestBody")
    if isinstance(body, dict):
        reference = body["content"]["application/json"]["schema"]["$ref"]  # type: ignore[index,call-overload]
        names |= set(SCHEMAS[str(reference).rpartition("/")[2]].get("properties", {}))
    return names


def test_the_client_has_each_operation_of_the_api_and_no_other() -> None:
    public = {name for name in dir(Subscribers) if not name.startswith("_")}
    assert public == set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_method_takes_what_its_operation_does_and_requests_it(name: str) -> None:
    method, path, operation = OPERATIONS[name]
    signature = inspect.signature(getattr(Subscribers, name))
    taken = [each for each in signature.parameters if each != "self"]
    assert set(taken) == names_of(operation)
    world = World(Response(200, b'{"items": [], "next": null}'))
    values = {each: sample(str(signature.parameters[each].annotation)) for each in taken}
    got = getattr(world.client(), name)(**values)
    if got is not None and "Listing" in str(signature.return_annotation):
        assert list(got) == []
    request = world.requests[0]
    expected = "^" + re.sub(r"{\w+}", "x", path) + "$"
    assert (request.method, bool(re.match(expected, request.path.partition("?")[0]))) == (method, True)
    sent = set(json.loads(request.body)) if request.body else set()
    queried = {each.partition("=")[0] for each in request.path.partition("?")[2].split("&") if each}
    in_path = set(re.findall(r"{(\w+)}", path))
    assert sent | queried | in_path == set(taken) - {"idempotency_key", "if_match"}
    assert ("Idempotency-Key" in request.headers) is ("idempotency_key" in taken)
    assert ("If-Match" in request.headers) is ("if_match" in taken)


@pytest.mark.parametrize("declared", TYPES, ids=lambda declared: declared.__name__)
def test_a_type_has_the_fields_of_its_schema(declared: type) -> None:
    name = declared.__name__
    [schema, *_] = [SCHEMAS[each] for each in (f"{name}View", f"{name}Created", name) if each in SCHEMAS]
    assert set(get_type_hints(declared)) - {"etag"} == set(schema["properties"])


def sample(annotation: str) -> object:
    return next((value for kind, value in SAMPLES.items() if re.search(rf"\b{kind}\b", annotation)), "x")


class Sent:
    def __init__(self, method: str, path: str, headers: Headers, body: bytes) -> None:
        self.method, self.path, self.headers, self.body = method, path, dict(headers), body


class World:
    """An API that gives these answers, the last one again and again."""

    def __init__(self, *answers: Response | NoResponse) -> None:
        self.answers = list(answers)
        self.requests: list[Sent] = []
        self.waits: list[float] = []

    def send(self, method: str, path: str, headers: Headers, body: bytes) -> Response | NoResponse:
        self.requests.append(Sent(method, path, headers, body))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def client(self) -> Subscribers:
        attempts = Attempts(sleep=self.waits.append)
        return Subscribers("http://localhost", "hck_a_b", transport=self.send, attempts=attempts)


TENANT: Final = Response(200, b'{"id": "acme", "name": ""}')


def problem(status: int, code: str, *headers: tuple[str, str], errors: Json = None) -> Response:
    document = {"title": "x", "status": status, "code": code, "detail": "what is wrong", "errors": errors or []}
    return Response(status, json.dumps(document).encode(), headers)


def test_a_list_is_read_page_by_page() -> None:
    pages = [
        Response(200, json.dumps({"items": [{"id": name}], "next": next_}).encode())
        for name, next_ in (("a", "c&1"), ("b", None))
    ]
    world = World(*pages)
    listing = world.client().list_tenants(limit=1)
    assert [each["id"] for each in listing] == ["a", "b"]
    assert [each.path for each in world.requests] == ["/v1/tenants?limit=1", "/v1/tenants?limit=1&cursor=c%261"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errors": [1]}', b"[" * 100_000])
def test_an_answer_that_is_no_problem_document_is_an_exception_too(body: bytes) -> None:
    with pytest.raises(SubscribersError) as raised:
        World(Response(502, body)).client().get_tenant("acme")
    assert (raised.value.status, raised.value.code) == (502, "http")


def test_a_request_is_made_again_as_the_answer_says_with_the_same_idempotency_key() -> None:
    unavailable = problem(503, "unavailable", ("retry-after", "5"))
    world = World(
        unavailable, problem(429, "too_many"), problem(409, "request_in_progress", ("retry-after", "1")), TENANT
    )
    world.client().create_token("acme")
    assert world.waits == [5.0, 1.0, 1.0]
    assert len({each.headers["Idempotency-Key"] for each in world.requests}) == 1
    assert len(world.requests) == 4


def test_a_request_ends_with_the_last_problem() -> None:
    world = World(problem(503, "unavailable"))
    with pytest.raises(SubscribersError, match="unavailable"):
        world.client().get_tenant("acme")
    assert len(world.requests) == 4
    long = World(problem(503, "unavailable", ("retry-after", "3600")))
    with pytest.raises(SubscribersError, match="unavailable"):
        long.client().get_tenant("acme")
    assert long.waits == []


def test_an_answer_that_is_lost_is_asked_for_again_unless_that_could_hide_a_change() -> None:
    world = World(NoResponse("timeout"), NoResponse("cut"), TENANT)
    assert world.client().get_tenant("acme")["id"] == "acme"
    for lost, status, code in ((NoResponse("cut"), None, "cut"), (problem(503, "unavailable"), 503, "unavailable")):
        with pytest.raises(SubscribersError) as raised:
            World(lost, TENANT).client().change_endpoint("acme", "ep_1", url="https://x.example", if_match='"1"')
        assert (raised.value.status, raised.value.code) == (status, code)
    untrusted = World(NoResponse("untrusted", "self-signed"))
    with pytest.raises(SubscribersError, match="self-signed"):
        untrusted.client().get_tenant("acme")
    assert len(untrusted.requests) == 1


def test_what_an_attempt_without_an_answer_deleted_is_deleted() -> None:
    World(NoResponse("cut"), problem(404, "not_found")).client().delete_tenant("acme")
    with pytest.raises(SubscribersError, match="not_found"):
        World(problem(404, "not_found")).client().delete_tenant("acme")


@pytest.mark.parametrize("id_", ["", ".", ".."])
def test_an_id_that_would_change_the_path_is_no_id(id_: str) -> None:
    with pytest.raises(ValueError, match="an id must not be"):
        World(TENANT).client().delete_tenant(id_)


@pytest.mark.parametrize(
    ("url", "token"), [("ftp://x", "hck_a"), ("http://x", "a\nb"), ("http://x", ""), ("http://x", "ä")]
)
def test_a_url_or_a_token_that_cannot_be_used_is_rejected(url: str, token: str) -> None:
    with pytest.raises(ValueError, match=r"URL|token"):
        Subscribers(url, token)


def test_over_http_the_key_and_the_etag_are_in_headers() -> None:
    answer = b'HTTP/1.1 200 OK\r\nETag: "7"\r\nContent-Length: 13\r\n\r\n{"id": "ep"}\n'
    with receiver(answer) as hook:
        endpoint = Subscribers(hook.url.rstrip("/"), "hck_a_b").get_endpoint("acme", "ep")
    assert endpoint["etag"] == '"7"'
    assert hook.header("authorization") == "Bearer hck_a_b"
    with receiver(http_answer(204)) as hook:
        Subscribers(hook.url, "hck_a_b").delete_tenant("acme")
    assert hook.heads[0].startswith("DELETE /")
