"""The tools of `hookchain mcp`: what an assistant gets, and what it never gets."""

import argparse
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

import pytest

from deploy.cli import dead_letters, mcp_tools
from deploy.cli.mcp import INSTRUCTIONS, MAX_MESSAGE_BYTES, serve
from deploy.cli.mcp_events import MAX_BODY_BYTES, MAX_OF_EVENT
from deploy.cli.mcp_session import LISTED, Session
from deploy.cli.mcp_tools import MAX_LINE_CHARACTERS, PLAN_SECONDS, RUNS, plan_replay, tools_of
from deploy.cli.pause import act_on_destination, pause_destination
from deploy.config.compiler import compile_file
from deploy.history.journal_view import STATUSES
from deploy.history.local_erasure import erase_events
from deploy.platforms.choice import TARGET_OPTIONS
from shared.cloud.local.journal import FILE_NAME, open_journal
from shared.event import Event
from shared.journal import AttemptEntry, DeadLetter, EventEntry
from shared.jsontext import Json, JsonObject, mapping_at
from shared.mcp import ToolFault, ToolServer
from shared.outcomes import DeliveryState
from shared.ports import BusMessage
from shared.times import rfc3339
from tests.fakes.bus import FakeBus
from tests.fakes.command import as_objects, audit_records
from tests.fakes.kept import NOW, OTHER, TELL, Kept, write_slices
from tests.running.processes import ROOT

SECRET: Final = "whsec-of-the-shop-0123456789"
CANARY: Final = "canary-of-the-body"
CONFIG: Final = """
sources:
  web: {auth: none}
  shop: {auth: {scheme: hmac, header: X-Sig, secret: shop-key}}
  zoom: {provider: zoom, secret: shop-key}
routes:
  - {name: tell, types: [signup.*], steps: [{set: {data.team: sales}}], to: list}
  - {name: other, types: [order.*], to: list}
destinations: {list: {webhook: {url: https://list.example/in, secret: shop-key}}}
"""


class Assistant:
    """Calls the tools as a client does. Each call returns the text of the result; `is_error` is that of the last."""

    def __init__(self, session: Session, server: ToolServer) -> None:
        self.session = session
        self.server = server
        self.is_error: Json = None

    def text(self, name: str, /, **arguments: Json) -> str:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
        reply = self.server.reply(json.dumps(message).encode())
        assert reply is not None
        result = mapping_at(reply["result"])
        self.is_error = result["isError"]
        [content] = as_objects(result["content"])
        return str(content["text"])

    def __call__(self, name: str, /, **arguments: Json) -> JsonObject:
        text = self.text(name, **arguments)
        assert not self.is_error, text
        document: JsonObject = json.loads(text)
        return document

    def fault(self, name: str, /, **arguments: Json) -> str:
        text = self.text(name, **arguments)
        assert self.is_error, text
        return text


def config_folder(state: Path) -> Path:
    return state.with_name(f"{state.name}-config")


def options_in(state: Path) -> argparse.Namespace:
    targets = dict.fromkeys(TARGET_OPTIONS)
    options = {"config": None, "env_file": config_folder(state) / "env", "platform": "local", "state": state}
    return argparse.Namespace(**options, **targets, allow_write=False)


@pytest.fixture
def assistant(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Assistant:
    config = config_folder(tmp_path) / "hookchain.yaml"
    config.parent.mkdir()
    config.write_text(CONFIG, encoding="utf-8")
    (config.parent / "env").write_text(f"SHOP_KEY={SECRET}\n", encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(config))
    write_slices(tmp_path, compile_file(config, {}))
    session = Session(options_in(tmp_path))
    return Assistant(session, ToolServer("1.0", INSTRUCTIONS, lambda: tools_of(session)))


def ids_of(listed: Json) -> list[Json]:
    return [each["id"] for each in as_objects(listed)]


def test_events_are_found_by_text_time_type_and_source(assistant: Assistant, kept: Kept) -> None:
    kept.event("e1e1e1e1", at=NOW - 7_200)
    kept.delivered(kept.event("e2e2e2e2", data={"name": "Ada Lovelace"}))
    kept.event("e3e3e3e3", source="shop", type="order.paid")
    assert ids_of(assistant("search_events")["events"]) == ["e3e3e3e3", "e2e2e2e2", "e1e1e1e1"]
    assert ids_of(assistant("search_events", text="lovelace", since="1h")["events"]) == ["e2e2e2e2"]
    assert ids_of(assistant("search_events", until="1h")["events"]) == ["e1e1e1e1"]
    assert ids_of(assistant("search_events", type="order.*", source="shop")["events"]) == ["e3e3e3e3"]
    found = assistant("search_events", limit=2)
    assert (len(as_objects(found["events"])), found["more"]) == (2, True)
    assert "there is no source 'shpo'; did you mean 'shop'" in assistant.fault("search_events", source="shpo")
    assert "a time is `1h` or `2d` ago" in assistant.fault("search_events", since="yesterday")


def test_an_event_is_shown_without_its_body_and_without_the_responses(assistant: Assistant, kept: Kept) -> None:
    event = kept.event("e1e1e1e1", data={"note": CANARY})
    kept.delivered(event, answer=f"you sent {CANARY}")
    document = assistant("get_event", id="e1e1e1")
    assert CANARY not in json.dumps(document)
    assert document["event"] == {
        "id": "e1e1e1e1",
        "source": "/sources/web",
        "type": "signup.created",
        "subject": "Ada",
        "receivedat": rfc3339(NOW),
        "payloadhash": "0" * 64,
    }
    assert [each["route"] for each in as_objects(document["routes"])] == ["tell", "other"]
    assert [each["outcome"] for each in as_objects(document["attempts"])] == ["delivered"]
    assert [each["state"] for each in as_objects(document["deliveries"])] == ["delivered"]
    assert "no event has an id" in assistant.fault("get_event", id="ffffff")


def test_an_event_with_thousands_of_attempts_is_shown_with_the_first_and_the_number_of_the_others(
    assistant: Assistant, kept: Kept
) -> None:
    kept.event("e1e1e1e1")
    names = ("e1e1e1e1", "tell", "list")
    kept.record(*(AttemptEntry(f"d{n}", *names, 1, NOW + n, NOW + n, "delivered", "", "") for n in range(2_000)))
    document = assistant("get_event", id="e1e1e1")
    assert len(as_objects(document["attempts"])) == MAX_OF_EVENT
    assert document["left_out"] == {"attempts": 2_000 - MAX_OF_EVENT}


def test_a_body_is_shown_by_its_own_tool_and_cut(assistant: Assistant, kept: Kept) -> None:
    kept.delivered(kept.event("e1e1e1e1", data={"note": CANARY}), answer="202 ok")
    kept.event("e2e2e2e2", data="é" * MAX_BODY_BYTES)
    shown = assistant("get_event_body", id="e1e1e1e1")
    assert shown["untrusted_body"] == json.dumps({"note": CANARY}, separators=(",", ":"))
    assert shown["untrusted_responses"] == '["list: 202 ok"]'
    assert shown["body_is_cut"] is False
    cut = assistant("get_event_body", id="e2e2e2e2")
    assert (len(str(cut["untrusted_body"]).encode()), cut["body_bytes"], cut["body_is_cut"]) == (16_384, 32_768, True)


def test_a_secret_at_the_cut_and_an_escaped_one_are_masked(assistant: Assistant, kept: Kept, tmp_path: Path) -> None:
    escaped = 'quote" and \\ backslash, 0123456789'
    (config_folder(tmp_path) / "env").write_text(f"SHOP_KEY='{escaped}'\n", encoding="utf-8")
    kept.event("e1e1e1e1", data={"text": "x" * (MAX_BODY_BYTES - 20) + escaped})
    kept.event("e2e2e2e2", data={"text": escaped})
    for event_id in ("e1e1e1e1", "e2e2e2e2"):
        assert "quote" not in assistant.text("get_event_body", id=event_id)


def test_a_raw_body_its_headers_and_a_known_secret_never_leave(assistant: Assistant, kept: Kept) -> None:
    raw = Event(
        "e1e1e1e1", "/sources/web", "signup.created", rfc3339(NOW), "0" * 64, {"key": f"it is {SECRET}!"},
        rawbody="raw-canary", rawtype="text/plain", rawheaders='[["x-canary","header-canary"]]',
    )  # fmt: skip
    kept.record(EventEntry(raw, (TELL, OTHER), NOW))
    kept.delivered(raw, answer=f"bad key {SECRET}")
    texts = [assistant.text(name, id="e1e1e1e1") for name in ("get_event", "get_event_body")]
    assert "it is ***!" in texts[1]
    assert not [word for word in ("raw-canary", "header-canary", SECRET) for text in texts if word in text]


def test_a_search_finds_nothing_that_no_result_shows(assistant: Assistant, kept: Kept) -> None:
    raw = Event(
        "e1e1e1e1", "/sources/web", "signup.created", rfc3339(NOW), "0" * 64, {"key": SECRET, "name": "Grace"},
        rawbody="raw-canary", rawheaders='[["x-canary","header-canary"]]',
    )  # fmt: skip
    kept.record(EventEntry(raw, (TELL, OTHER), NOW))
    letter = kept.dead_letter(raw)
    kept.record(DeadLetter("damaged", "malformed_event", "is truncated", NOW, b'{"rawbody": "raw-canary', "events"))
    for hidden in (SECRET[:9], "raw-can", "header-can"):
        assert assistant("search_events", text=f'"{hidden}"')["events"] == []
        assert assistant("list_dead_letters", text=hidden)["dead_letters"] == []
        with pytest.raises(ToolFault, match="no event matches"):
            plan_replay(assistant.session, {"text": hidden})
    kept.dead_letter(kept.event("e2e2e2e2", type=SECRET))
    for name in ("search_events", "list_dead_letters"):
        assert "e2e2e2e2" not in assistant.text(name, type=f"{SECRET[:9]}*")
    for number in range(2):
        kept.event(f"e3e3e3e{number}", type=f"signup.{SECRET}")
    assert ids_of(assistant("search_events", type="signup.*", limit=1)["events"]) == ["e1e1e1e1"]
    assert ids_of(assistant("search_events", text="grace")["events"]) == ["e1e1e1e1"]
    assert ids_of(assistant("list_dead_letters", text="grace")["dead_letters"]) == [letter]
    assert ids_of(assistant("list_dead_letters", text="truncated")["dead_letters"]) == ["damaged"]
    plan_replay(assistant.session, {"text": "grace"})


def test_the_secrets_of_mail_and_tokens_of_hooks_are_masked(assistant: Assistant, kept: Kept, tmp_path: Path) -> None:
    values = {
        "SMTP_PASSWORD": "password-of-the-mail-server",
        "GITHUB_TOKEN": "ghp_ABCDEFGHIJKLMNOPQRSTUVWX",
    }
    hook = "{provider: github, secret: shop-key, hook: {token: github-token, at: [acme/shop]}}"
    text = CONFIG.replace("web: {auth: none}", f"web: {hook}").replace(
        "list: {webhook", "m: {email: {to: [a@b.example]}}, list: {webhook"
    )
    (config_folder(tmp_path) / "hookchain.yaml").write_text(text, encoding="utf-8")
    lines = {**values, "SMTP_URL": "smtps://u@mail.example:465"}
    (config_folder(tmp_path) / "env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    kept.event("e1e1e1e1", data={"said": [*values.values()]})
    assert assistant("get_event_body", id="e1e1e1e1")["untrusted_body"] == '{"said":["***","***"]}'


def test_a_secret_is_masked_too_while_the_configuration_has_faults(
    assistant: Assistant, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = "whsec-in-a-mounted-file-0123456789"
    (tmp_path / "mount" / "..data").mkdir(parents=True)
    (tmp_path / "mount" / "shop-key").write_text(mounted, encoding="utf-8")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "mount"))
    for number, secret in enumerate((SECRET, mounted)):
        kept.event(f"e{number}e1e1e1", type=secret)
    (config_folder(tmp_path) / "hookchain.yaml").write_text("sources: 5", encoding="utf-8")
    assert [each["type"] for each in as_objects(assistant("search_events")["events"])] == ["***", "***"]


def test_deliveries_and_dead_letters_are_listed(assistant: Assistant, kept: Kept) -> None:
    event = kept.event("e1e1e1e1", data=CANARY)
    kept.delivered(event, answer=CANARY)
    kept.waiting(event, "tell", 1)
    letter = kept.dead_letter(kept.event("e2e2e2e2", data=CANARY))
    listed = assistant("list_deliveries", event="e1e1e1e1")
    [delivery] = as_objects(listed["deliveries"])
    assert [each["route"] for each in as_objects(listed["waiting_routes"])] == ["tell"]
    assert (delivery["destination"], delivery["state"], "answer" in delivery) == ("list", "delivered", False)
    assert assistant("list_deliveries", state="held", destination="list")["deliveries"] == []
    assert "there is no destination 'lst'" in assistant.fault("list_deliveries", destination="lst")
    letters = assistant("list_dead_letters", destination="list", code="request_rejected")
    assert ids_of(letters["dead_letters"]) == [letter]
    assert CANARY not in json.dumps([delivery, letters])
    assert assistant("list_dead_letters", status="replayed")["dead_letters"] == []


def test_sources_destinations_and_providers_are_listed(assistant: Assistant, kept: Kept) -> None:
    kept.event("e1e1e1e1")
    assert [each["source"] for each in as_objects(assistant("list_sources")["sources"])] == ["web", "shop", "zoom"]
    [destination] = as_objects(assistant("list_destinations")["destinations"])
    assert (destination["destination"], destination["state"]) == ("list", "delivering")
    assert assistant("list_providers", name="GitHub")["key"] == "github"
    found = mapping_at(assistant("list_providers", find="github")["providers"])
    assert found["github"] == "GitHub"
    assert len(found) < 10
    assert "there is no provider 'gihub'; did you mean 'github'?" in assistant.fault("list_providers", name="gihub")


def test_more_sources_than_a_result_holds_are_counted_and_each_can_be_shown(assistant: Assistant, kept: Kept) -> None:
    more = "".join(f"\n  shop-{number}: {{auth: none}}" for number in range(400))
    config = config_folder(kept.folder) / "hookchain.yaml"
    config.write_text(CONFIG.replace("sources:", f"sources:{more}"), encoding="utf-8")
    kept.rejected("zoom")
    listed = assistant("list_sources")
    sources = as_objects(listed["sources"])
    assert (sources[0]["source"], sources[0]["health"]) == ("zoom", "failing")
    assert listed["left_out"] == {"sources": 403 - len(sources)}
    [last] = as_objects(assistant("list_sources", source="shop-399")["sources"])
    assert last["source"] == "shop-399"
    assert "there is no source 'shpo-1'; did you mean" in assistant.fault("list_sources", source="shpo-1")


def test_destinations_that_need_attention_come_first_and_those_that_do_not_fit_are_counted(
    assistant: Assistant, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = "".join(f"\n  spare-{number}: {{log: {{fields: {{id: id}}}}}}" for number in range(3))
    text = CONFIG.replace("destinations: {list: ", f"destinations:{more}\n  list: ").rstrip("}\n") + "}}\n"
    config = config_folder(kept.folder) / "hookchain.yaml"
    config.write_text(text, encoding="utf-8")
    write_slices(kept.folder, compile_file(config, {}))
    kept.with_ledger(lambda ledger: ledger.disable("list", "the receiver is gone", NOW))
    monkeypatch.setattr(mcp_tools, "MAX_LISTED_CHARACTERS", 1_200)
    listed = assistant("list_destinations")
    names = [each["destination"] for each in as_objects(listed["destinations"])]
    assert names == ["list", "spare-0"]
    assert mapping_at(listed["left_out"])["destinations"] == 2


def test_an_explanation_shows_the_deliveries_or_the_rejection(assistant: Assistant) -> None:
    report = assistant("explain_request", source="shop", body='{"event": "signup.created"}')
    assert report["deliveries"] == ["list (route 'tell')"]
    assert assistant("explain_request", source="shp/../x", body="{}")["status"] == 404
    report = assistant(
        "explain_request", source="shop", body=json.dumps({"event": "signup.created", "x": "y" * 200_000})
    )
    assert (report["deliveries"], len(json.dumps(report)) < 20_000) == (["list (route 'tell')"], True)
    assert "headers: each value must be of the type string" in assistant.fault(
        "explain_request", source="shop", body="{}", headers={"A": 1}
    )
    assert "headers: must be Unicode text" in assistant.fault(
        "explain_request", source="shop", body="{}", headers={"A": "\ud800"}
    )


def test_an_explanation_has_the_pauses_of_the_state_folder_of_the_server(
    assistant: Assistant, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def notify_checks() -> str:
        report = assistant("explain_request", source="shop", body='{"event": "signup.created"}')
        return json.dumps([each for each in as_objects(report["checks"]) if each["stage"] == "notify"])

    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path / "another"))
    assert "paused" not in notify_checks()
    pause = {**vars(assistant.session.options), "destination": "list", "seconds": None}
    act_on_destination("pause", argparse.Namespace(**pause), pause_destination, "mcp")
    assert "paused" in notify_checks()
    assistant.session.options.platform = "gcp"  # what is paused there is not known here
    assert "paused" not in notify_checks()


def test_an_explanation_says_that_a_secret_is_unread_and_not_missing(assistant: Assistant, tmp_path: Path) -> None:
    step = "steps: [{digest: {algorithm: sha256, of: data.id, into: data.hash, secret: shop-key}}]"
    text = CONFIG.replace("steps: [{set: {data.team: sales}}]", step)
    (config_folder(tmp_path) / "hookchain.yaml").write_text(text, encoding="utf-8")
    shown = assistant.text("explain_request", source="shop", body='{"event": "signup.created", "id": "1"}')
    assert "needs the secret 'shop-key', which is not read here" in shown
    assert "does not exist" not in shown


def test_an_explanation_shows_no_credential_of_the_configuration(assistant: Assistant, tmp_path: Path) -> None:
    headers = "{X-Api-Key: a-key-of-18-letters, Authorization: Bearer any-bearer-of-21-letters}"
    query = "token=a-token-of-20-letters&sig=a-signature-of-24-letters"
    headers = headers.replace("}", ", X-Any: a-value-with-letters}")
    own = f"{{url: 'https://list.example/in?{query}', headers: {headers}}}"
    text = CONFIG.replace("{url: https://list.example/in, secret: shop-key}", own)
    (config_folder(tmp_path) / "hookchain.yaml").write_text(text, encoding="utf-8")
    body = '{"event": "signup.created", "id": "1", "key": "any-bearer-of-21-letters"}'
    shown = assistant.text("explain_request", source="shop", body=body)
    assert "list.example" in shown
    assert '"key' in shown
    assert "-letters" not in shown
    assert "any-be" not in shown


def test_a_credential_at_the_cut_of_a_line_is_masked(assistant: Assistant, tmp_path: Path) -> None:
    own = "{url: 'https://list.example/in?x={{ data.x }}&token=a-token-of-20-letters'}"
    text = CONFIG.replace("{url: https://list.example/in, secret: shop-key}", own)
    (config_folder(tmp_path) / "hookchain.yaml").write_text(text, encoding="utf-8")
    for length in range(MAX_LINE_CHARACTERS - 90, MAX_LINE_CHARACTERS, 10):
        body = json.dumps({"event": "signup.created", "id": "1", "x": "y" * length})
        assert "a-token" not in assistant.text("explain_request", source="shop", body=body)


def test_an_explanation_is_no_way_to_have_a_text_signed(assistant: Assistant) -> None:
    """Zoom's handshake is answered with a signature of a text that the sender chooses."""
    body = json.dumps({"event": "endpoint.url_validation", "payload": {"plainToken": "v0:1790000000:forged"}})
    report = assistant("explain_request", source="zoom", body=body, headers={"content-type": "application/json"})
    assert "reply" not in report
    assert "encryptedToken" not in json.dumps(report)


def test_a_configuration_text_is_checked_in_the_folder_of_the_current_one(assistant: Assistant, tmp_path: Path) -> None:
    (config_folder(tmp_path) / "any.json").write_text("{}", encoding="utf-8")
    (config_folder(tmp_path) / "state").symlink_to(tmp_path / "slices")
    text = CONFIG.replace("auth: none", "auth: none, schema: any.json")
    assert assistant("lint_configuration", text=text)["faults"] == []
    assert assistant("test_configuration", text=text) == {"tests": []}
    fault = assistant.fault("lint_configuration", text=text.replace("any.json", "state/notify.json"))
    assert "'state/notify.json' is not allowed" in fault
    assert "can name no Python files" in assistant.fault("test_configuration", text=f"{CONFIG}\nsteps_from: [own.py]")


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        ("[" * 100_000, {"content-type": "application/json"}, "nested_too_deeply"),
        ("a" * 200_000, {"Content-Encoding": "gzip", "x\r\ny": "z\r\n", "": ""}, "malformed_body"),
        ("{}", {"Content-Length": "99999999999999"}, "body_too_large"),
    ],
)
def test_a_hostile_request_is_explained(body: str, headers: dict[str, Json], code: str, assistant: Assistant) -> None:
    assert assistant("explain_request", source="web", body=body, headers={**headers})["code"] == code


def test_hidden_instructions_in_an_event_are_visible(assistant: Assistant, kept: Kept) -> None:
    kept.delivered(kept.event("e1e1e1e1", type="order\u200b\U000e0041", data={"x": "\u202ea"}), answer="ok\u202e")
    texts = [
        assistant.text("search_events"),
        *(assistant.text(each, id="e1e1e1e1") for each in ("get_event", "get_event_body")),
    ]
    assert all(character.isprintable() for text in texts for character in text)


# Changes


WRITING: Final = ("plan_replay", "run_replay", "pause_destination", "resume_destination", "release_destination")


@pytest.fixture
def writer(assistant: Assistant) -> Assistant:
    assistant.session.options.allow_write = True
    return assistant


def audit_of(state: Path) -> list[tuple[str, int, str]]:
    records = audit_records(state)
    assert all(each["at"] == rfc3339(NOW) and each["tool"] == "mcp" for each in records)
    return [(str(each["what"]), int(str(each["count"])), str(each["outcome"])) for each in records]


def test_only_with_permission_are_there_tools_that_change_anything(assistant: Assistant, tmp_path: Path) -> None:
    assert not {*WRITING} & assistant.server.tools.keys()
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "pause_destination"}}
    reply = assistant.server.reply(json.dumps(message).encode())
    assert "error" in (reply or {})
    assert not (tmp_path / "audit.jsonl").exists()
    assistant.session.options.allow_write = True
    tools = tools_of(assistant.session)
    assert {name for name, tool in tools.items() if tool.is_writing} == {*WRITING} - {"plan_replay"}


def test_a_replay_is_planned_and_run_once(writer: Assistant, kept: Kept, bus: FakeBus, tmp_path: Path) -> None:
    kept.event("e1e1e1e1", at=NOW - 60)
    kept.event("e2e2e2e2", source="shop")
    plan = writer("plan_replay", source="web", only="list")
    kept.event("e3e3e3e3")  # what arrives later is not part of the plan
    assert (plan["count"], ids_of(plan["first_events"]), plan["only"]) == (1, ["e1e1e1e1"], "list")
    assert bus.sent == []
    assert audit_of(tmp_path) == []
    done = writer("run_replay", plan=plan["plan"])
    [(topic, message)] = bus.sent
    assert (topic, message.attributes["ce-id"], message.attributes["only"]) == ("events", "e1e1e1e1", "list")
    assert "force" not in message.attributes
    assert audit_of(tmp_path) == [(f"replay {done['replay']} only=list force=False", 1, "done")]
    assert "a plan is run once" in writer.fault("run_replay", plan=plan["plan"])
    assert len(bus.sent) == 1


def test_a_replay_counts_and_names_the_rest(writer: Assistant, kept: Kept, bus: FakeBus, tmp_path: Path) -> None:
    kept.event("e1e1e1e1")
    kept.event("e2e2e2e2")
    plans = [writer("plan_replay", source="web")["plan"], writer("plan_replay", event="e1e1e1e1")["plan"]]
    connection = open_journal(tmp_path / FILE_NAME)
    erase_events(connection, ["e1e1e1e1"], NOW)
    connection.close()
    first, second = (writer("run_replay", plan=plan) for plan in plans)
    assert [message.attributes["ce-id"] for _, message in bus.sent] == ["e2e2e2e2"]
    assert (first["count"], first["not_sent"]) == (1, ["e1e1e1e1"])
    assert (second["count"], second["not_sent"]) == (0, ["e1e1e1e1"])
    assert "removed after the plan" in str(second["why"])
    assert [count for _, count, _ in audit_of(tmp_path)] == [1, 0]


def test_a_replay_that_stops_midway_says_how_many_events_were_sent_and_the_plan_keeps_the_others(
    writer: Assistant, kept: Kept, bus: FakeBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        kept.event(f"e{number}e1e1e1", at=NOW + number)
    publish = bus.publish

    async def publish_two_batches(topic: str, messages: Sequence[BusMessage]) -> None:
        await publish(topic, messages)
        if len(bus.sent) == 4:
            bus.fault = "the bus is gone"

    monkeypatch.setattr(bus, "publish", publish_two_batches)
    plan = writer("plan_replay", source="web")["plan"]
    fault = writer.fault("run_replay", plan=plan)
    assert fault.startswith("the bus is gone. 4 of 5 events were sent as replay ")
    bus.fault = None
    assert writer("run_replay", plan=plan)["count"] == 1
    assert [message.attributes["ce-id"][:2] for _, message in bus.sent] == ["e0", "e1", "e2", "e3", "e4"]
    assert [(count, outcome) for _, count, outcome in audit_of(tmp_path)] == [(4, "failed"), (1, "done")]


def test_a_plan_can_be_run_again_after_the_state_could_not_be_opened(
    writer: Assistant, kept: Kept, bus: FakeBus, tmp_path: Path
) -> None:
    kept.event("e1e1e1e1")
    plan = writer("plan_replay", source="web")["plan"]
    writer.session.options.state = tmp_path / "none"
    assert "has no events" in writer.fault("run_replay", plan=plan)
    writer.session.options.state = tmp_path
    assert writer("run_replay", plan=plan)["count"] == 1
    assert len(bus.sent) == 1


def test_a_replay_for_a_destination_that_is_gone_sends_nothing(
    writer: Assistant, kept: Kept, bus: FakeBus, tmp_path: Path
) -> None:
    kept.event("e1e1e1e1")
    plan = writer("plan_replay", event="e1e1e1e1", only="list")["plan"]
    notify = tmp_path / "slices" / "notify.json"
    notify.write_text(notify.read_text().replace('"list"', '"crm"'), encoding="utf-8")
    assert "there is no destination 'list'" in writer.fault("run_replay", plan=plan)
    assert bus.sent == []
    assert [(count, outcome) for _, count, outcome in audit_of(tmp_path)] == [(0, "failed")]


def test_a_plan_expires_after_fifteen_minutes(
    writer: Assistant, kept: Kept, bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.event("e1e1e1e1")
    plan = writer("plan_replay", event="e1e1e1")
    monkeypatch.setattr("time.time", lambda: NOW + PLAN_SECONDS + 1)
    assert "there is no such plan" in writer.fault("run_replay", plan=plan["plan"])
    assert bus.sent == []


@pytest.mark.parametrize(
    ("name", "arguments", "fault"),
    [
        *(("get_event", {"id": each}, "no event has an id") for each in ("%%%%%%", "______", "e1e1e1\0", "' OR 1=1")),
        ("get_event", {"id": "e"}, "must have at least 6 characters"),
        ("get_event", {}, "Nothing was done."),
        ("get_event", {"id": "e1e1e1e1", "body": True}, "Nothing was done."),
        ("get_event_body", {}, "Nothing was done."),
        ("explain_request", {"source": "shop"}, "Nothing was done."),
        ("lint_configuration", {}, "Nothing was done."),
        ("test_configuration", {"text": "a: 1", "file": "hookchain.yaml"}, "Nothing was done."),
        ("search_events", {"limit": 1_000}, "Nothing was done."),
        ("search_events", {"status": "lost"}, "Nothing was done."),
        ("search_events", {"text": "*"}, "text: must have a letter or a digit"),
        ("search_events", {"since": "9" * 900 + "d"}, "a time is `1h` or `2d` ago"),
        ("search_events", {"source": "' OR 1=1 --"}, "there is no source"),
        ("list_sources", {"platform": "gcp"}, "Nothing was done."),
        ("list_providers", {"name": "../../etc/passwd"}, "there is no provider"),
        ("plan_replay", {}, "choose the events"),
        ("plan_replay", {"force": True, "only": "list"}, "choose the events"),
        ("plan_replay", {"event": "e1e1e1e1", "source": "web"}, "use ids or filters, not both"),
        ("plan_replay", {"event": "ffffffff"}, "no event has an id"),
        ("plan_replay", {"source": "web", "only": "lst"}, "there is no destination 'lst'; did you mean 'list'?"),
        ("plan_replay", {"source": "shop"}, "no event matches"),
        ("plan_replay", {"text": '"-"'}, "text: must have a letter or a digit; it would match everything"),
        ("plan_replay", {"text": "\u200b"}, "text: must have a letter or a digit"),
        ("plan_replay", {"since": "1h", "until": "2h"}, "until: must be a time after `since`"),
        ("plan_replay", {"source": "web", "all": True}, "there is no argument 'all'"),
        ("run_replay", {}, "the argument 'plan' is missing"),
        ("run_replay", {"plan": "0123456789abcdef"}, "there is no such plan"),
        ("pause_destination", {}, "the argument 'destination' is missing"),
        ("pause_destination", {"destination": "list", "for": "long"}, "for: must be a time such as 30m or 2h"),
        ("resume_destination", {"destination": "list", "all": True}, "there is no argument 'all'"),
    ],
)
def test_a_wrong_or_hostile_argument_is_a_fault_that_says_why_and_changes_nothing(
    name: str, arguments: dict[str, Json], fault: str, writer: Assistant, kept: Kept, bus: FakeBus, tmp_path: Path
) -> None:
    kept.event("e1e1e1e1")
    assert fault in writer.fault(name, **arguments)
    assert bus.sent == []
    assert audit_of(tmp_path) == []


def test_a_destination_is_paused_and_resumed_with_a_record_of_each(writer: Assistant, tmp_path: Path) -> None:
    assert "paused" in str(writer("pause_destination", destination="list", **{"for": "2h"})["done"])
    [destination] = as_objects(writer("list_destinations")["destinations"])
    assert destination["state"] == "paused"
    assert "is paused or disabled" in writer.fault("release_destination", destination="list")
    assert "resumed" in str(writer("resume_destination", destination="list")["done"])
    assert "no delivery was held" in str(writer("release_destination", destination="list")["done"])
    assert "has no destination 'lst'" in writer.fault("pause_destination", destination="lst")
    assert audit_of(tmp_path) == [
        ("pause list for 7200 s", 0, "done"),
        ("release list", 0, "failed"),
        ("resume list", 0, "done"),
        ("release list", 0, "done"),
        ("pause lst", 0, "failed"),
    ]


@pytest.mark.parametrize("target", ["folder", "/dev/full"])
def test_nothing_is_changed_that_cannot_be_recorded(
    target: str, writer: Assistant, kept: Kept, bus: FakeBus, tmp_path: Path
) -> None:
    if target == "folder":
        (tmp_path / "audit.jsonl").mkdir()
    elif Path(target).exists():
        (tmp_path / "audit.jsonl").symlink_to(target)
    else:
        pytest.skip("this system has no full device")
    kept.event("e1e1e1e1")
    plan = writer("plan_replay", event="e1e1e1e1")
    assert "so nothing was changed" in writer.fault("run_replay", plan=plan["plan"])
    assert "so nothing was changed" in writer.fault("pause_destination", destination="list")
    assert bus.sent == []
    [destination] = as_objects(writer("list_destinations")["destinations"])
    assert destination["state"] == "delivering"
    audit_file = tmp_path / "audit.jsonl"
    audit_file.rmdir() if audit_file.is_dir() else audit_file.unlink()
    assert writer("run_replay", plan=plan["plan"])["count"] == 1


def test_a_change_leaves_a_record_before_it_begins_and_is_done_if_only_the_second_record_fails(
    writer: Assistant, kept: Kept, bus: FakeBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"at": "2026', encoding="utf-8")  # what a power cut leaves
    before: list[str] = []

    async def publish(topic: str, messages: Sequence[BusMessage]) -> None:
        before.append(path.read_text())  # a process that is killed now leaves this
        path.unlink()
        path.mkdir()
        bus.sent.extend((topic, each) for each in messages)

    monkeypatch.setattr(bus, "publish", publish)
    kept.event("e1e1e1e1")
    plan = writer("plan_replay", event="e1e1e1e1")
    assert writer("run_replay", plan=plan["plan"])["count"] == 1
    [text] = before
    _, line = text.splitlines()
    begun = json.loads(line)
    assert (begun["outcome"], begun["planned"]) == ("begun", 1)


def test_the_texts_of_the_tools_agree_with_the_code(assistant: Assistant) -> None:
    assistant.session.options.allow_write = True
    tools = tools_of(assistant.session)
    assert tools.keys() == RUNS.keys()
    assert tools["search_events"].arguments["status"]["enum"] == [*STATUSES]
    assert tools["list_deliveries"].arguments["state"]["enum"] == [*get_args(DeliveryState)]
    assert tools["list_dead_letters"].arguments["status"]["enum"] == [*dead_letters.STATUSES]
    assert f"Default: {LISTED}." in str(tools["search_events"].arguments["limit"]["description"])
    assert f"cut at {MAX_BODY_BYTES // 1024} KB" in tools["get_event_body"].description


# The messages on the streams


def test_the_first_message_is_answered_before_anything_slow_is_imported() -> None:
    """Some clients give up on a server that does not answer within a second."""
    script = "import sys, deploy.cli.mcp; print(*{'pydantic', 'jinja2', 'jmespath'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_one_message_a_line_is_answered_until_the_input_ends(assistant: Assistant) -> None:
    ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
    long = b'"' + b"x" * (2 * MAX_MESSAGE_BYTES) + b'"\n'
    call = {
        "name": "search_events",
        "arguments": {"text": "\U0001f642" * 262_144},
    }  # the longest, however it is escaped
    longest = json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}).encode() + b"\n"
    messages = ping + b"\n" + long + b'{"method":"x"}\n' + b"{\n" + longest + ping.strip()
    replies = io.BytesIO()
    serve(assistant.server, io.BytesIO(messages), replies)
    answers = [json.loads(line) for line in replies.getvalue().splitlines()]
    assert [each["id"] for each in answers] == [1, None, None, 2, 1]
    assert [each.get("error", {}).get("code") for each in answers] == [None, -32600, -32700, None, None]
