"""Cloud Storage's JSON API over a dictionary, each request checked against Google's description."""

import base64
import hashlib
import json
from typing import Final

from aiohttp import web

from shared.jsontext import JsonObject
from tests.gcp.description import Description, Method

BUCKET: Final = "a-project-hookchain-blobs"


class StorageServer:
    """`refuse` is the status of every answer, where set; `passing` are those of the next ones.

    `may_delete`: the caller's role includes storage.objects.delete, which replacing an object needs.
    """

    def __init__(self, bucket: str) -> None:
        self.objects: dict[str, bytes] = {}
        self.problems: list[str] = []
        self.refuse: int | None = None
        self.passing: list[int] = []
        self.may_delete = True
        self.page_size = 1_000
        self._bucket = bucket
        self._description = Description("storage", "v1")

    def app(self) -> web.Application:
        app = web.Application(client_max_size=100_000_000)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        path = request.rel_url.raw_path
        try:
            method = self._description.method(request.method, path, request.query, None)
            assert not body or method.is_upload, f"{method.name} takes no body"
        except AssertionError as error:
            self.problems.append(str(error))
            return _fault(400, str(error))
        if refused := self.passing.pop(0) if self.passing else self.refuse:
            return _fault(refused, "as the test asked")
        if method.name == "storage.objects.list" and f"/b/{self._bucket}/" in path:
            return self._list(method, request)
        if request.rel_url.parts[-1 if method.is_upload else -2] != "o" or f"/b/{self._bucket}/" not in path:
            return _fault(404, "The specified bucket does not exist.")
        name = request.query["name"] if method.is_upload else request.rel_url.parts[-1]
        assert 0 < len(name.encode()) <= 1024
        assert name not in (".", "..")
        assert not set(name) & set("\r\n\0")
        match request.method:
            case "POST":
                assert request.query["uploadType"] == "media"
                if name in self.objects and not self.may_delete:
                    return _fault(403, "receive does not have storage.objects.delete access to the object.")
                if name in self.objects and request.query.get("ifGenerationMatch") == "0":
                    return _fault(412, "At least one of the pre-conditions you specified did not hold.")
                self.objects[name] = body
                answer = {
                    "kind": "storage#object",
                    "name": name,
                    "bucket": self._bucket,
                    "size": str(len(body)),
                    "md5Hash": base64.b64encode(hashlib.md5(body).digest()).decode(),
                }
                self._description.check_answer(method, json.loads(json.dumps(answer)))
                return web.json_response(answer)
            case "GET" if name in self.objects:
                assert request.query["alt"] == "media"
                return web.Response(body=self.objects[name], content_type="application/octet-stream")
            case "DELETE" if self.objects.pop(name, None) is not None:
                return web.Response(status=204)
        return _fault(404, f"No such object: {self._bucket}/{name}")

    def _list(self, method: Method, request: web.Request) -> web.Response:
        """A page's token is the last name before it."""
        found = sorted(name for name in self.objects if name.startswith(request.query.get("prefix", "")))
        left = [name for name in found if name > request.query.get("pageToken", "")]
        page = left[: self.page_size]
        answer: JsonObject = {"items": [{"name": name} for name in page]} if page else {}
        if len(left) > len(page):
            answer["nextPageToken"] = page[-1]
        self._description.check_answer(method, answer)
        return web.json_response(answer)


def _fault(code: int, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message, "errors": []}}, status=code)
