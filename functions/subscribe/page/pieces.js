// Small pieces that several views show.

import { h, time, withCode } from "./dom.js";
import { STATES, placeOf, reasonText } from "./words.js";

const MAX_CHARACTERS = 100000;
const MAX_COLOURED = 5000;

export function stateChip(state) {
  const [word, sign, meaning] = STATES[state] ?? [state ?? "Unknown", "·", ""];
  return h("span", { class: `chip ${state ?? ""}`, title: meaning }, h("span", { "aria-hidden": "true" }, sign), word);
}

export function chip(word, kind = "", title = "") {
  return h("span", { class: `chip ${kind}`, title }, word);
}

// `endpoint` is null where it is deleted.
export function deliveryRow(delivery, endpoint, address = `#/deliveries/${encodeURIComponent(delivery.id)}`) {
  const details = [delivery.test && "test", endpoint ? endpoint.description || placeOf(endpoint.url) : delivery.endpoint, delivery.attempt_number > 0 && `attempt ${delivery.attempt_number}`, reasonText(delivery)];
  return h("li", {}, h("a", { href: address, "data-id": delivery.id },
    stateChip(delivery.state),
    h("span", { class: "what" },
      h("strong", {}, delivery.type || "An event that is no longer kept"),
      h("span", { class: "faint" }, details.filter(Boolean).join(" · "))),
    h("span", { class: "times" }, time(delivery.created_at), delivery.next_attempt_at && h("span", { class: "next" }, "next ", time(delivery.next_attempt_at)))));
}

// Characters that change the direction of what follows are escaped, so that a text is read in its own order.
const DIRECTION_MARKS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

export function plainView(text, label) {
  const shown = text.slice(0, MAX_CHARACTERS).replace(DIRECTION_MARKS, escaped);
  return h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": label }, shown, cutNote(text));
}

// JSON with its keys, texts and numbers in different colours.
export function jsonView(value, label) {
  const view = h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": label });
  const whole = JSON.stringify(value, null, 2) ?? "null";
  const text = whole.slice(0, MAX_CHARACTERS).replace(DIRECTION_MARKS, escaped);
  const token = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  let last = 0;
  let coloured = 0;
  for (const match of text.matchAll(token)) {
    if (++coloured > MAX_COLOURED) break; // the rest stays plain, so that the page stays fast
    view.append(text.slice(last, match.index));
    const kind = match[2] ? "key" : match[1] ? "text" : "other";
    view.append(h("span", { class: kind }, match[1] ?? match[0]), match[2] ?? "");
    last = match.index + match[0].length;
  }
  view.append(text.slice(last), cutNote(whole));
  return view;
}

function cutNote(text) {
  return text.length > MAX_CHARACTERS ? `\n… ${(text.length - MAX_CHARACTERS).toLocaleString()} more characters` : "";
}

// A body that is JSON is shown as JSON.
export function bodyView(text, label) {
  if (text && typeof text === "object") return jsonView(text, label);
  try {
    return jsonView(JSON.parse(text), label);
  } catch {
    return plainView(String(text ?? ""), label);
  }
}

export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return h("dl", { class: "facts" }, shown.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

export function section(title, ...content) {
  return h("section", { class: "card", "aria-label": title }, h("h2", {}, title), content);
}

export function banner(kind, title, ...content) {
  return h("div", { class: `banner ${kind}`, role: kind === "bad" ? "alert" : "status" }, h("strong", {}, title), h("div", {}, content));
}

export function empty(title, ...content) {
  return h("div", { class: "empty" }, h("h2", {}, title), content);
}

// A list that cannot be loaded says why, and can be asked for again.
export function loadFault(error, again) {
  return banner("bad", error.message, h("button", { type: "button", onclick: again }, "Try again"));
}

// A button that does one thing at a time. `act` raises Problem, which is given to `failed`.
export function action(label, act, { kind = "", failed }) {
  const button = h("button", {
    type: "button", class: kind,
    onclick: async () => {
      if (button.getAttribute("aria-busy") === "true") return;
      button.setAttribute("aria-busy", "true");
      try {
        await act(button);
      } catch (error) {
        failed(error);
      } finally {
        button.removeAttribute("aria-busy");
      }
    },
  }, label);
  return button;
}

// Asks a person to confirm. The dialog gives the focus back to where it was.
export function confirmed(question, yes, explanation = "", kind = "danger") {
  return new Promise((resolve) => {
    const title = h("h2", {}, question);
    title.id = "question";
    const dialog = h("dialog", { "aria-labelledby": "question", onclose: () => { dialog.remove(); resolve(dialog.returnValue === "yes"); } },
      h("form", { method: "dialog" }, title, explanation && h("p", {}, withCode(explanation)),
        h("div", { class: "buttons" }, h("button", { value: "no" }, "Cancel"), h("button", { value: "yes", class: kind }, yes))));
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Tabs of a few panels, moved through with the arrow keys. `panels` are pairs of a label and a function that makes the panel.
export function tabs(label, panels) {
  const panel = h("div", { class: "panel", role: "tabpanel", tabindex: "0" });
  const choose = (at) => {
    buttons.forEach((button, each) => { button.setAttribute("aria-selected", String(each === at)); button.tabIndex = each === at ? 0 : -1; });
    panel.setAttribute("aria-label", panels[at][0]);
    panel.replaceChildren(panels[at][1]());
  };
  const buttons = panels.map(([name], at) => h("button", {
    type: "button", role: "tab", onclick: () => choose(at),
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (at + step + panels.length) % panels.length;
      choose(next);
      buttons[next].focus();
    },
  }, name));
  choose(0);
  return h("div", { class: "tabbed" }, h("div", { class: "tabs", role: "tablist", "aria-label": label }, buttons), panel);
}
