"""What a team and its customer do with subscribers, from the first command to the last delivery that was missed."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from standardwebhooks import Webhook

from deploy.cli.main import main
from deploy.client.hookchain.subscribers import Subscribers, SubscribersError
from shared.jsontext import JsonObject
from shared.times import rfc3339
from tests.running.processes import PATIENCE_SECONDS, wait_for
from tests.running.sending import send_until_confirmed
from tests.running.stack import Stack, running
from tests.stand_ins.http_server import Said, Seen, http_stand_in

CONFIG: Final = """\
sources: {app: {auth: none, type: data.event, id: data.id, dedupe: delivery_id}}
routes: [{name: all, to: customers}]
destinations: {customers: {subscribers: {tenant: data.account}}}
subscribers:
  portal: {name: Acme}
  event_types: {order.paid: {description: An order is paid., examples: [{total: 12}]}}
"""


class Customer:
    """A customer's server. It keeps what it accepts, and answers `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    def verified(self, secret: str) -> list[JsonObject]:
        """Return the bodies, each verified by the library that customers are told to use."""
        return [Webhook(secret).verify(body, headers) for headers, body in self.requests]

    def answer(self, seen: Seen) -> Said:
        if self.status == 200:
            self.requests.append((seen.lower_headers, seen.body))
        return Said(self.status)


@pytest.fixture
def customer() -> Iterator[Customer]:
    made = Customer()
    with http_stand_in(made.answer) as url:
        made.url = f"{url}/hooks"
        yield made


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path, CONFIG, {}) as up:
        yield up


class Team:
    """The commands of the team that runs Hookchain."""

    def __init__(self, stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
        folder = stack.state.parent
        self._where = ["--state", str(stack.state)]
        self._config = ["--config", str(folder / "hookchain.yaml"), "--env-file", str(folder / "env")]
        self._capsys = capsys

    def run(self, *arguments: str, has_config: bool = True) -> str:
        code = main([*arguments, *self._where, *(self._config if has_config else [])])
        output = self._capsys.readouterr()
        assert code == 0, f"{output.out}{output.err}"
        return output.out.strip()


def test_a_customer_subscribes_breaks_the_endpoint_and_recovers_what_it_missed(
    stack: Stack, customer: Customer, capsys: pytest.CaptureFixture[str]
) -> None:
    team = Team(stack, capsys)
    team.run("tenants", "set", "acme", "--name", "Acme", "--email", "ops@acme.example")
    link = team.run("portal-link", "acme")
    base, _, token = link.partition("/portal#token=")
    with urllib.request.urlopen(f"{base}/portal", timeout=PATIENCE_SECONDS) as page:
        assert "text/html" in page.headers["content-type"]

    portal = Subscribers(base, token)
    assert portal.get_portal_info()["tenant"] == "acme"
    assert [each["name"] for each in portal.list_event_types()] == ["order.paid"]
    with pytest.raises(SubscribersError, match="there is no such tenant"):
        portal.list_endpoints("beta").pages().__next__()
    endpoint = portal.create_endpoint("acme", url=customer.url, types=["order.*"], fields={"region": "eu"})
    secret, id_ = endpoint["secret"], endpoint["id"]

    portal.send_test("acme", id_, type="order.paid")
    wait_for(lambda: len(customer.requests) == 1)
    assert customer.verified(secret)[0]["data"] == {"total": 12}

    def publish(number: int) -> None:
        event = {"event": "order.paid", "id": f"order-{number}", "account": "acme"}
        send_until_confirmed(f"{stack.url}/app", event)

    publish(1)
    wait_for(lambda: len(customer.requests) == 2)
    paid = customer.verified(secret)[1]
    assert (paid["type"], paid["region"]) == ("order.paid", "eu")

    customer.status = 410
    publish(2)
    wait_for(lambda: not portal.get_endpoint("acme", id_)["enabled"])
    disabled = portal.get_endpoint("acme", id_)["disabled"]
    assert disabled
    assert (disabled["by"], "410" in disabled["reason"]) == ("receiver", True)
    publish(3)
    assert f"acme:{id_}" in team.run("endpoints", "list", "--disabled")

    failed = portal.list_endpoint_deliveries("acme", id_, state="failed")
    details = [portal.get_delivery("acme", each["id"]) for each in failed]
    [shown] = [each for each in details if each["attempts"]]  # the other one came after
    assert "410" in shown["attempts"][0]["reason"]
    assert shown["request"]
    assert "order-2" in shown["request"]["body"]
    wait_for(lambda: len(list(portal.list_messages("acme"))) == 4)  # with that of the test

    customer.status = 200
    portal.enable_endpoint("acme", id_)
    since = rfc3339(0.0)
    count = portal.recover_endpoint("acme", id_, since=since, dry_run=True)["count"]
    assert portal.recover_endpoint("acme", id_, since=since)["count"] == count == 2
    wait_for(lambda: len(customer.requests) == 4)
    ids = {str(each["data"]["id"]) for each in customer.verified(secret)[1:]}  # type: ignore[call-overload,index]
    assert ids == {"order-1", "order-2", "order-3"}

    wait_for(lambda: {each["state"] for each in portal.list_endpoint_deliveries("acme", id_)} == {"delivered"})
    done = json.loads(team.run("forget", "--tenant", "acme", "--yes", "--json", has_config=False))
    assert {store["left"] for store in done["stores"].values()} == {0}
    with pytest.raises(SubscribersError, match="not_authenticated"):
        portal.get_portal_info()
