// The search above the list of events: text, status, source, type, time. It is part of the page's address.

import { fill, h } from "/page/dom.js";
import { STATUSES } from "/page/words.js";

const SPANS = [["", "Any time"], ["300", "Last 5 minutes"], ["3600", "Last hour"], ["86400", "Last day"], ["604800", "Last week"], ["between", "Between …"]];
const NAMES = ["text", "status", "source", "type", "span", "since", "until"];

// The query of /api/live and /api/events. A span counts from now, to the minute.
export function liveParameters(wanted) {
  const { span, since, until, ...rest } = wanted;
  if (span === "between") return { ...rest, since: utc(since), until: utc(until) };
  if (!span) return rest;
  const minute = Math.floor(Date.now() / 60000) * 60000;
  return { ...rest, since: new Date(minute - Number(span) * 1000).toISOString() };
}

function utc(local) {
  const date = new Date(local ?? "");
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}

export function filterBar(changed) {
  const field = (name, label, attributes) => h("input", { name, "aria-label": label, placeholder: label, autocomplete: "off", spellcheck: "false", ...attributes });
  const text = field("text", "Search the text of events", { type: "search", class: "wide", "aria-keyshortcuts": "/" });
  const source = field("source", "Source", { type: "search" });
  const type = field("type", "Type, or trial.*", { type: "search" });
  const span = h("select", { name: "span", "aria-label": "Time" }, SPANS.map(([value, word]) => h("option", { value }, word)));
  const since = field("since", "From", { type: "datetime-local", step: "1" });
  const until = field("until", "Until", { type: "datetime-local", step: "1" });
  const between = h("span", { class: "between", hidden: true }, since, h("span", {}, "to"), until);
  const statuses = h("div", { class: "statuses", role: "group", "aria-label": "Status" });
  const inputs = { text, source, type, span, since, until };
  let status = "";
  let counts = {};
  let newest = null;
  let timer = null;

  const wanted = () => Object.fromEntries(NAMES.map((name) => [name, name === "status" ? status : inputs[name].value.trim()]).filter(([, value]) => value));
  const tell = () => { clearTimeout(timer); between.hidden = span.value !== "between"; changed(wanted()); };
  const element = h("form", {
    class: "filters", role: "search", "aria-label": "Events",
    onsubmit: (event) => { event.preventDefault(); tell(); },
    oninput: (event) => { clearTimeout(timer); timer = setTimeout(tell, event.target.tagName === "SELECT" ? 0 : 250); },
  }, h("div", { class: "line" }, h("label", { class: "search" }, text, h("kbd", { "aria-hidden": "true" }, "/")), source, type, span, between), statuses);

  function showStatuses() {
    const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
    // The counts are of all events, so they are hidden while a search shows only some.
    const isSearch = Object.keys(wanted()).some((name) => name !== "status");
    const button = (value, word, count) => h("button", {
      type: "button", class: `filter ${value || "all"}`, "aria-pressed": String(status === value),
      onclick: () => { status = value; showStatuses(); tell(); },
    }, word, !isSearch && h("span", { class: "count" }, count.toLocaleString()));
    const focused = statuses.contains(document.activeElement) && document.activeElement.className;
    const shown = Object.entries(STATUSES).filter(([value]) => counts[value] || status === value);
    fill(statuses, button("", newest && total >= newest ? "Newest" : "All", total), shown.map(([value, [word]]) => button(value, word, counts[value] ?? 0)));
    if (focused) [...statuses.children].find((each) => each.className === focused)?.focus();
  }

  showStatuses();
  return {
    element, wanted,
    set(given) {
      const before = JSON.stringify(wanted());
      status = given.status ?? "";
      for (const [name, input] of Object.entries(inputs)) {
        if (input.value.trim() !== (given[name] ?? "")) input.value = given[name] ?? "";
      }
      between.hidden = span.value !== "between";
      showStatuses();
      const isOther = JSON.stringify(wanted()) !== before || JSON.stringify(wanted()) !== element.dataset.followed;
      element.dataset.followed = JSON.stringify(wanted());
      return isOther;
    },
    suffix: () => { const query = new URLSearchParams(wanted()).toString(); return query && `?${query}`; },
    showCounts: (news, ofNewest) => { counts = news; newest = ofNewest ?? null; showStatuses(); },
    clear: () => changed({}),
    focus: () => { text.focus(); text.select(); },
  };
}
