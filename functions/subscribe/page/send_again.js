// Recover what an endpoint missed since a time, or replay events by a filter: counted first, then sent page by page.

import { poster } from "./api.js";
import { announce, fill, h } from "./dom.js";
import { clearErrors, field, showErrors } from "./fields.js";
import { banner, section, tabs } from "./pieces.js";
import { ofTenant } from "./portal.js";
import { STATES, plural } from "./words.js";

const SPANS = [["3600", "Last hour"], ["86400", "Last day"], ["604800", "Last week"], ["own", "Since …"]];
const WAITS = [1, 3];
const MAX_COUNTED_PAGES = 10;

export function sendAgainSection(endpoint, follow) {
  const since = endpoint.failing_since ?? endpoint.disabled?.at ?? "";
  return section("Send again", tabs("Send again", [
    ["Recover", () => rangeForm(endpoint, follow, "recover", since)],
    ["Replay", () => rangeForm(endpoint, follow, "replay", "")],
  ]));
}

const ABOUT = {
  recover: "Sends again what failed or was never sent to this endpoint.",
  replay: "Sends again what this endpoint already got, too. Your server can recognise repeats by their id.",
};

function rangeForm(endpoint, follow, act, suggested) {
  const where = ofTenant("endpoints", endpoint.id, act);
  const date = (value = "") => { const input = h("input", { type: "datetime-local", step: "1" }); input.value = value && localText(new Date(value)); return input; };
  const since = date(suggested);
  const until = date();
  const span = h("select", { onchange: showRange }, SPANS.map(([value, word]) => h("option", { value, selected: value === (suggested ? "own" : "86400") }, word)));
  const range = h("div", { class: "columns" }, field("Since", "/since", since, suggested ? "When the trouble began." : ""), field("Until", "/until", until, "Optional."));
  const types = h("input", { placeholder: "order.*, user.created", spellcheck: "false", autocomplete: "off" });
  const state = h("select", {}, h("option", { value: "" }, "Any state"), Object.entries(STATES).map(([value, [word]]) => h("option", { value }, word)));
  const notices = h("div", {});
  const result = h("div", { class: "result", role: "status" });

  function showRange() {
    range.hidden = span.value !== "own";
  }

  function wanted() {
    const start = span.value === "own" ? moment(since) : new Date(Date.now() - Number(span.value) * 1000).toISOString();
    if (!start) return null;
    const end = span.value === "own" ? moment(until) : "";
    const body = { since: start, ...(end ? { until: end } : {}) };
    if (act === "recover") return body;
    const globs = types.value.split(/[\s,]+/).filter(Boolean);
    return { ...body, ...(globs.length ? { types: globs } : {}), ...(state.value ? { state: state.value } : {}) };
  }

  async function count() {
    clearErrors(form);
    fill(notices);
    const body = wanted();
    if (!body) return showErrors(form, [{ path: "/since", rule: "Choose a time." }], notices, "Nothing was counted");
    fill(result, "Counting …");
    try {
      const { sum: found, isMore } = await allPages(where, { ...body, dry_run: true }, () => {}, MAX_COUNTED_PAGES);
      if (!found && !isMore) return fill(result, "Nothing is to be sent again.");
      const number = `${isMore ? "at least " : ""}${plural(found, "event")}`;
      const button = h("button", { type: "button", class: "primary", onclick: () => send(body, found) }, `Send ${number} again`);
      fill(result, h("p", { class: "reason" }, `${number} would be sent again.`), button);
      announce(`${number} would be sent again.`);
      return undefined;
    } catch (error) {
      fill(result);
      return showErrors(form, error.errors, notices, `Nothing was counted. ${error.message}`);
    }
  }

  async function send(body, found) {
    const bar = h("progress", { max: found, value: 0, "aria-label": "Sent" });
    const progress = h("p", {}, "Sending …");
    fill(result, bar, progress);
    try {
      const { sum: sent } = await allPages(where, body, (soFar) => {
        bar.max = Math.max(found, soFar);
        bar.value = soFar;
        progress.textContent = `${plural(soFar, "event")} of about ${found.toLocaleString()} sent`;
        follow();
      });
      fill(result, h("p", {}, `${plural(sent, "event is", "events are")} on the way to your server.`));
      follow();
    } catch (error) {
      // What was sent stays sent: to begin again repeats no delivery that succeeded meanwhile.
      fill(result, banner("bad", error.message, h("p", {}, "A part may have been sent. Count again to see what is left.")));
    }
  }

  const form = h("form", { class: "fields", noValidate: true, "aria-label": act === "recover" ? "Recover" : "Replay", onsubmit: (event) => { event.preventDefault(); count(); } },
    h("p", { class: "help" }, ABOUT[act]), notices,
    field("Time", "/time", span), range,
    act === "replay" && h("div", { class: "columns" }, field("Event types", "/types", types, "Optional: names or patterns, with commas between."), field("State", "/state", state)),
    h("div", { class: "buttons" }, h("button", { type: "submit" }, "Count")), result);
  showRange();
  return form;
}

// Asks page by page until there is no more. `report` gets the sum after each page.
async function allPages(where, body, report, most = Infinity) {
  const post = poster();
  let sum = 0;
  let cursor = "";
  let pages = 0;
  do {
    const answer = await patiently(() => post(where, cursor ? { ...body, cursor } : body));
    sum += answer.count;
    report(sum);
    cursor = answer.is_more ? answer.next ?? "" : "";
  } while (cursor && ++pages < most);
  return { sum, isMore: cursor !== "" };
}

// Many pages take a while, and one lost answer is not to end them.
async function patiently(ask) {
  for (const seconds of WAITS) {
    try {
      return await ask();
    } catch (error) {
      if (![0, 429, 503].includes(error.status)) throw error;
      await new Promise((resolve) => { setTimeout(resolve, (Number(error.retryAfter) || seconds) * 1000); });
    }
  }
  return ask();
}

function moment(input) {
  const date = new Date(input.value);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}

// The text of an input for a local time.
function localText(date) {
  return new Date(date.getTime() - date.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}
