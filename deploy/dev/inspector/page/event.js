// One event: its attributes, its path through the three functions, and its actions.

import { get, post } from "/page/api.js";
import { copyButton, fill, h, time, toast } from "/page/dom.js";
import { copyIcon, disclosure, facts, jsonView, statusChip } from "/page/pieces.js";
import { membersStage, notifyStage, receiveStage, transformStage } from "/page/stages.js";
import { waterfall } from "/page/waterfall.js";
import { plural } from "/page/words.js";

const OPEN = new Set(["received", "delivering", "waiting", "retry_scheduled", "held"]);
const ATTRIBUTES = ["source", "action", "subject", "actor", "time", "receivedat", "deliveryid", "recovered", "traceparent", "hops", "payloadhash", "dataref"];

export function eventView(element, close) {
  let id = null;
  let face = null;
  let shown = null;
  let asking = false;

  async function load() {
    if (!id || asking) return;
    asking = true;
    const wanted = id;
    try {
      const event = await get(`/api/events/${encodeURIComponent(wanted)}`);
      if (wanted === id) show(event);
    } catch (error) {
      if (wanted === id) fill(element, h("p", { class: "empty" }, error.message));
    } finally {
      asking = false;
      if (wanted !== id) load();
    }
  }

  function show(event) {
    const next = JSON.stringify(event);
    if (next === face) return;
    face = next;
    const openParts = new Set([...element.querySelectorAll("details[open] > summary")].map((each) => each.textContent));
    const scrolled = element.scrollTop;
    const focused = element.contains(document.activeElement) ? document.activeElement.textContent : null;
    const isFirst = shown === null;
    shown = event;
    fill(element, head(event), h("ol", { class: "path" }, event.digest ? membersStage(event) : [receiveStage(event), transformStage(event)], notifyStage(event, act)), event.trace && waterfall(event.trace), content(event));
    for (const summary of element.querySelectorAll("summary")) {
      if (openParts.has(summary.textContent)) summary.parentElement.open = true;
    }
    element.scrollTop = scrolled;
    if (isFirst && document.activeElement?.closest(".rows")) element.querySelector("h2").focus({ preventScroll: true });
    if (focused) [...element.querySelectorAll("button, a, summary, h2")].find((each) => each.textContent === focused)?.focus();
  }

  function head(event) {
    return h("header", { class: "event-head" },
      h("div", { class: "title-line" },
        h("h2", { tabindex: "-1" }, event.digest ? `Digest of ${plural(event.digest.count, "event")}` : event.type ?? "Type not known yet"), statusChip(event.status),
        h("button", { type: "button", class: "icon-button close", "aria-label": "Close (Esc)", onclick: close }, "✕")),
      h("p", { class: "id mono" }, event.id, copyButton(event.id, "the event's id", copyIcon())),
      facts([[event.digest ? "For" : "From", event.digest?.destination ?? event.source], ["About", event.subject], ["By", event.actor], ["Recovered", event.event?.recovered && "The provider could not deliver it; it was read from its API"], [event.digest ? "Made" : "Received", time(event.received_at, true)]]),
      !event.digest && h("div", { class: "buttons" },
        h("button", { type: "button", disabled: !event.event, title: "Send the event through its routes again. Finished deliveries are not repeated.", onclick: () => act({}, "Replayed") }, "Replay"),
        h("button", { type: "button", disabled: !event.event, title: "Send the event through its routes again and repeat finished deliveries", onclick: () => act({ force: true }, "Replayed; finished deliveries are repeated") }, "Deliver again")));
  }

  async function act(body, done) {
    try {
      await post("/api/replay", { id: shown.id, ...body });
      toast(done);
    } catch (error) {
      toast(error.message, "fault");
    }
    setTimeout(load, 600);
  }

  function content(event) {
    const document = event.event;
    if (!document && event.digest) return h("p", { class: "faint" }, "Its content is kept from its first retry, or from when it is held, until it is delivered. The events in it have theirs.");
    if (!document) return h("p", { class: "faint" }, event.passes ? "Its content was forgotten, or is past its retention." : "Its content is shown once transform has processed it.");
    const attributes = ATTRIBUTES.filter((name) => document[name] !== undefined).map((name) => [name, h("span", { class: "mono" }, String(document[name]))]);
    return h("section", { class: "content", "aria-label": "Content" },
      h("h3", {}, "Data"),
      document.dataref === undefined ? jsonView(document.data ?? null) : h("p", { class: "faint" }, "It was stored apart, because of its size, and is past its retention."),
      disclosure("Attributes", facts(attributes)),
      document.rawbody !== undefined && disclosure("Raw body", document.rawtype && h("p", { class: "faint" }, document.rawtype), h("pre", { class: "code", tabindex: "0" }, document.rawbody)),
      document.rawbase64 !== undefined && disclosure("Raw body", h("p", { class: "faint" }, `${document.rawtype ?? "binary"}, in base64`), h("pre", { class: "code", tabindex: "0" }, document.rawbase64)),
      document.rawheaders !== undefined && disclosure("Headers, without credentials", headers(document.rawheaders)),
      event.passes > 1 && h("p", { class: "faint" }, `transform processed it ${plural(event.passes, "time")}: the bus redelivered it, or it was replayed. The routes shown are the last ones.`));
  }

  return {
    open(next) {
      if (next === id) return;
      id = next;
      face = null;
      shown = null;
      fill(element);
      element.scrollTop = 0;
      load();
    },
    seen: (row) => { if (row && shown && row.status !== shown.status) load(); },
    refresh: () => { if (shown && OPEN.has(shown.status)) load(); },
  };
}

function headers(text) {
  try {
    return facts(JSON.parse(text).map(([name, value]) => [name, h("span", { class: "mono" }, value)]));
  } catch {
    return h("pre", { class: "code" }, text);
  }
}
