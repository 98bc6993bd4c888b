// Small pieces that several views show.

import { h, time } from "/page/dom.js";
import { CHECKS, STATUSES, adviceOn } from "/page/words.js";

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function bytes(count) {
  if (count === null || count === undefined) return "";
  if (count < 1024) return `${count} B`;
  return count < 1048576 ? `${(count / 1024).toFixed(1)} KB` : `${(count / 1048576).toFixed(1)} MB`;
}

// Our own text, with web addresses as links, `code` in backquotes, and times in the zone of this machine.
export function withLinks(text) {
  return text.split(/(https:\/\/\w[^\s)>"'`]*[^\s)>"'`.,:;]|`[^`]+`|\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/).map((part, at) => {
    if (at % 2 === 0) return part;
    if (/^\d/.test(part)) return time(part, false, true);
    return part[0] === "`" ? h("code", {}, part.slice(1, -1)) : h("a", { href: part, target: "_blank", rel: "noreferrer noopener" }, part);
  });
}

export function copyIcon() {
  return svg("svg", { viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" },
    svg("path", { d: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z", class: "stroke" }));
}

export function statusChip(status) {
  const [word, sign, meaning] = STATUSES[status] ?? [status ?? "Unknown", "·", ""];
  return h("span", { class: `chip ${status ?? ""}`, title: meaning }, h("span", { "aria-hidden": "true" }, sign), word);
}

// Nothing where there is no word: a dead letter of the bus has no code.
export function chip(word, kind = "", title = "") {
  if (!word) return null;
  return h("span", { class: `chip ${kind}`, title }, word);
}

// Characters that change the direction of what follows are escaped, so that a text is read in its own order.
const DIRECTION_MARKS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

// JSON with its keys, texts and numbers in different colours.
export function jsonView(value) {
  const view = h("pre", { class: "code", tabindex: "0" });
  const text = (JSON.stringify(value, null, 2) ?? "null").replace(DIRECTION_MARKS, escaped);
  const token = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  let last = 0;
  let shown = 0;
  for (const match of text.matchAll(token)) {
    if (++shown > 5000) break; // the rest stays plain, so that the page stays fast
    view.append(text.slice(last, match.index));
    const kind = match[2] ? "key" : match[1] ? "text" : "other";
    view.append(h("span", { class: kind }, match[1] ?? match[0]), match[2] ?? "");
    last = match.index + match[0].length;
  }
  view.append(text.slice(last));
  return view;
}

export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, shown.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

export function disclosure(summary, ...content) {
  return h("details", {}, h("summary", {}, summary), h("div", { class: "inside" }, content));
}

// Receive's checks in order, up to the one that failed; all of them for an accepted request. `details` are texts by check.
export function checksView(code, details = {}) {
  const failed = code ? CHECKS.findIndex(([, codes]) => codes.includes(code)) : CHECKS.length;
  return h("ol", { class: "checks" }, CHECKS.map(([name], index) => {
    const kind = failed < 0 || index > failed ? "none" : index === failed ? "bad" : "good";
    const sign = { good: "✓", bad: "✕", none: "–" }[kind];
    const told = { good: "passed", bad: "failed", none: "not reached" }[kind];
    return h("li", { class: kind }, h("span", { "aria-hidden": "true" }, sign), name, details[name] && h("span", { class: "detail" }, details[name]), h("span", { class: "unseen" }, `: ${told}`));
  }));
}

// Receive's own diagnosis, if it made one; else the advice for the code.
export function rejectionReason(request) {
  const [told, why] = (request.detail || request.code || "").split(". Headers: ")[0].split(". Why: ", 2);
  const advice = why ? `Why: ${why}.` : adviceOn(request.code);
  return [
    h("p", { class: "reason" }, withLinks(told)),
    advice && h("p", { class: "advice" }, withLinks(advice)),
  ];
}

export function empty(title, ...content) {
  return h("div", { class: "empty" }, h("h2", {}, title), content);
}

export function eventLink(id) {
  return h("a", { href: `#/events/${encodeURIComponent(id)}`, class: "mono" }, id.slice(0, 8));
}

// Asks a person to confirm.
export function confirmed(question, yes) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-label": question, onclose: () => { dialog.remove(); resolve(dialog.returnValue === "yes"); } },
      h("form", { method: "dialog" },
        h("p", {}, question),
        h("div", { class: "buttons" },
          h("button", { value: "no" }, "Cancel"),
          h("button", { value: "yes", class: "danger" }, yes))));
    document.body.append(dialog);
    dialog.showModal();
  });
}
