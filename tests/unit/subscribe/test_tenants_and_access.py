"""Who may use the API: keys by their scopes, portal tokens by their tenant and capabilities, until they are revoked."""

import pytest

from shared.subscribers.model import Scope
from tests.fakes.subscribe_api import Subscribers


async def test_a_request_without_a_known_key_is_answered_401_and_told_how_to_authenticate(api: Subscribers) -> None:
    known = await api.key("read")
    for given in ("", "nonsense", "hck_000000000000_" + "A" * 43, known[:-1] + ("A" if known[-1] != "A" else "B")):
        answer = await api.send("GET", "/v1/tenants", by=given)
        assert (answer.status, answer.code) == (401, "not_authenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await api.send("GET", "/v1/tenants", by=known)).status == 200


@pytest.mark.parametrize(
    ("scope", "method", "path", "body", "status"),
    [
        ("read", "GET", "/v1/tenants", None, 200),
        ("read", "PUT", "/v1/tenants/acme", {}, 403),
        ("write", "PUT", "/v1/tenants/acme", {}, 200),
        ("write", "POST", "/v1/api-keys", {"scopes": ["admin"]}, 403),
        ("portal", "POST", "/v1/tenants/old/portal-tokens", {}, 201),
        ("portal", "GET", "/v1/tenants", None, 403),
        ("admin", "POST", "/v1/api-keys", {"scopes": ["read"]}, 201),
        ("admin", "POST", "/v1/tenants/old/portal-tokens", {}, 201),
    ],
)
async def test_a_key_does_what_its_scope_allows(
    api: Subscribers, scope: Scope, method: str, path: str, body: dict[str, str] | None, status: int
) -> None:
    await api.tenant("old", await api.key())
    answer = await api.send(method, path, None if body is None else {**body}, by=await api.key(scope))
    assert answer.status == status


async def test_a_rotated_key_is_valid_for_24_hours_more_and_a_deleted_one_not_at_all(api: Subscribers) -> None:
    admin = await api.key()
    made = await api.send("POST", "/v1/api-keys", {"scopes": ["read"], "description": "CI"}, by=admin)
    old, id_ = made.text("key"), made.text("id")
    rotated = await api.send("POST", f"/v1/api-keys/{id_}/rotate", by=admin)
    new = rotated.text("key")
    assert (rotated.json["rotated"], new != old) == (True, True)
    assert [(await api.send("GET", "/v1/tenants", by=each)).status for each in (old, new)] == [200, 200]
    api.clock.time += 86_401
    assert [(await api.send("GET", "/v1/tenants", by=each)).status for each in (old, new)] == [401, 200]
    assert (await api.send("DELETE", f"/v1/api-keys/{id_}", by=admin)).status == 204
    assert (await api.send("GET", "/v1/tenants", by=new)).status == 401
    assert all(old[17:] not in each.text and new[17:] not in each.text for each in api.documents.kept.values())


async def test_a_tenant_is_created_replaced_and_deleted_with_its_endpoints(api: Subscribers) -> None:
    key = await api.key("write")
    made = await api.send("PUT", "/v1/tenants/acme", {"name": "Acme", "email": "ops@acme.example"}, by=key)
    await api.endpoint("acme", key)
    replaced = await api.send("PUT", "/v1/tenants/acme", {"metadata": {"plan": "gold"}}, by=key)
    assert made.json["created_at"] == replaced.json["created_at"]
    assert (replaced.json["name"], replaced.json["metadata"]) == ("", {"plan": "gold"})
    token = await api.token("acme", await api.key("portal"))
    seen = await api.send("GET", "/v1/tenants/acme", by=token)
    assert (seen.json["id"], seen.json["metadata"]) == ("acme", {})  # the operator's own notes
    assert (await api.send("DELETE", "/v1/tenants/acme", by=key)).status == 204
    assert (await api.send("GET", "/v1/tenants/acme/endpoints", by=key)).status == 404
    await api.tenant("acme", key)
    assert (await api.send("GET", "/v1/tenants/acme/endpoints", by=key)).items == []


async def test_a_list_is_read_page_by_page_and_a_cursor_is_of_one_list(api: Subscribers) -> None:
    key = await api.key()
    names = [await api.tenant(f"tenant-{number}", key) for number in range(5)]
    first, *_ = pages = await api.pages("/v1/tenants?limit=2", by=key)
    assert [each["id"] for page in pages for each in page.items] == names
    for path in (f"/v1/api-keys?cursor={first.json['next']}", "/v1/tenants?cursor=AAAA.AAAA"):
        answer = await api.send("GET", path, by=key)
        assert (answer.status, answer.code) == (400, "invalid_cursor")


async def test_a_portal_token_ends_when_it_expires_or_is_revoked(api: Subscribers) -> None:
    key = await api.key()
    await api.tenant("acme", key)

    async def status_of(token: str) -> int:
        return (await api.send("GET", "/v1/tenants/acme/endpoints", by=token)).status

    made = await api.send("POST", "/v1/tenants/acme/portal-tokens", {"expires_in": 60}, by=key)
    assert made.text("url") == f"https://hooks.example.com/portal#token={made.text('token')}"
    assert await status_of(made.text("token")) == 200
    api.clock.time += 60
    assert await status_of(made.text("token")) == 401

    made, other = [await api.send("POST", "/v1/tenants/acme/portal-tokens", {}, by=key) for _ in range(2)]
    assert (await api.send("DELETE", f"/v1/tenants/acme/portal-sessions/{made.text('session')}", by=key)).status == 204
    assert [await status_of(each.text("token")) for each in (made, other)] == [401, 200]

    assert (await api.send("DELETE", "/v1/tenants/acme/portal-sessions", by=key)).status == 204
    assert await status_of(other.text("token")) == 401
    api.clock.time += 1
    newer = await api.token("acme", key)
    assert await status_of(newer) == 200

    await api.send("DELETE", "/v1/tenants/acme", by=key)
    assert await status_of(newer) == 401
    api.clock.time += 1
    await api.tenant("acme", key)
    assert await status_of(newer) == 401


async def test_a_changed_token_is_none(api: Subscribers) -> None:
    key = await api.key()
    for name in ("acme", "other"):
        await api.tenant(name, key)
    token = await api.token("acme", key, "view")
    other = await api.token("other", key, "view", "manage", "resend", "reveal_secret")
    payload, _, signature = token.removeprefix("hpt_").partition(".")
    other_payload, _, _ = other.removeprefix("hpt_").partition(".")
    for forged in (f"hpt_{other_payload}.{signature}", f"hpt_{payload}.", f"hpt_{payload}.{signature[:-2]}", "hpt_."):
        assert (await api.send("GET", "/v1/portal-info", by=forged)).status == 401


async def test_the_secret_of_tokens_is_rotated_by_a_line_before_the_old_one(api: Subscribers) -> None:
    key = await api.key()
    await api.tenant("acme", key)
    token = await api.token("acme", key)
    old = api.secrets.texts["subscribers-key"]
    api.secrets.texts["subscribers-key"] = f"{'n' * 40}\n{old}"
    assert (await api.send("GET", "/v1/portal-info", by=token)).status == 200
    newer = await api.token("acme", key)
    api.secrets.texts["subscribers-key"] = "n" * 40
    assert [(await api.send("GET", "/v1/portal-info", by=each)).status for each in (token, newer)] == [401, 200]


async def test_the_page_learns_what_its_token_allows(api: Subscribers) -> None:
    key = await api.key()
    await api.tenant("acme", key)
    answer = await api.send("GET", "/v1/portal-info", by=await api.token("acme", key, "manage"))
    assert (answer.json["tenant"], answer.json["capabilities"], answer.json["verify"]) == ("acme", ["manage"], "none")
    assert (await api.send("GET", "/v1/portal-info", by=key)).status == 403
