// The fields of a form: label, help, control, and beside it what the API says of it.

import { announce, fill, h, withCode } from "./dom.js";
import { plural } from "./words.js";

let number = 0;

// `path` is the JSON pointer by which the API's errors name the field. `control` is an input, select or textarea.
export function field(label, path, control, help = "") {
  const name = `field-${++number}`;
  control.id = name;
  const parts = described(path, name, help);
  control.setAttribute("aria-describedby", parts.ids);
  return h("div", { class: "field", "data-path": path }, h("label", { for: name }, label), parts.help, control, parts.error);
}

// Several controls under one label.
export function group(label, path, content, help = "") {
  const name = `field-${++number}`;
  const parts = described(path, name, help);
  return h("fieldset", { class: "field", "data-path": path, "aria-describedby": parts.ids }, h("legend", {}, label), parts.help, content, parts.error);
}

function described(path, name, help) {
  const helpText = help && h("p", { class: "help", id: `${name}-help` }, withCode(help));
  const error = h("p", { class: "error", id: `${name}-error`, hidden: true });
  return { help: helpText, error, ids: help ? `${name}-help ${name}-error` : `${name}-error` };
}

// Rows of a name and a value. `read()` answers an object; `extra` makes a third control of a row, as for the kind of value.
export function rows(label, path, help, { nameLabel, valueLabel, addLabel, kinds = null }) {
  const list = h("ul", { class: "pairs" });
  const add = (name = "", value = "", kind = "") => {
    const nameInput = h("input", { "aria-label": nameLabel, placeholder: nameLabel, autocomplete: "off", spellcheck: "false", "data-part": "name" });
    const valueInput = h("input", { "aria-label": valueLabel, placeholder: valueLabel, autocomplete: "off", spellcheck: "false", "data-part": "value" });
    const kindSelect = kinds && h("select", { "aria-label": "Kind of value", "data-part": "kind" }, kinds.map(([key, word]) => h("option", { value: key, selected: key === kind }, word)));
    nameInput.value = name;
    valueInput.value = value;
    const row = h("li", { class: "pair" }, nameInput, kindSelect, valueInput,
      h("button", { type: "button", "aria-label": `Remove ${nameLabel.toLowerCase()} ${name}`.trim(), onclick: () => { row.remove(); addButton.focus(); } }, "Remove"));
    list.append(row);
    return nameInput;
  };
  const addButton = h("button", { type: "button", onclick: () => add().focus() }, addLabel);
  const element = group(label, path, [list, addButton], help);
  const part = (row, name) => row.querySelector(`[data-part=${name}]`)?.value ?? "";
  return {
    element, add,
    read: () => [...list.children].map((row) => [part(row, "name").trim(), part(row, "value"), part(row, "kind")]).filter(([name, value]) => name || value),
  };
}

// Shows each error beside its field, opens what hides it, and moves the focus to the first. Errors of no field go to `rest`.
// An error is `{ path, rule, detail }`; `title` says what did not happen.
export function showErrors(form, errors, rest, title) {
  clearErrors(form);
  const fields = [...form.querySelectorAll("[data-path]")];
  const others = [];
  let first = null;
  for (const each of errors) {
    const found = fields.filter(({ dataset }) => each.path === dataset.path || each.path?.startsWith(`${dataset.path}/`))
      .sort((one, other) => other.dataset.path.length - one.dataset.path.length)[0];
    if (!found) others.push(`${each.path ? `${each.path}: ` : ""}${errorText(each)}`);
    else {
      const control = mark(found, each);
      first ??= control;
    }
  }
  const summary = errors.length ? `${title}: ${plural(errors.length, "field needs", "fields need")} a correction` : title;
  fill(rest, h("div", { class: "banner bad", role: "alert" }, h("strong", {}, summary), others.length > 0 && h("ul", {}, others.map((text) => h("li", {}, text)))));
  if (first) first.focus();
  else { rest.tabIndex = -1; rest.focus(); }
  announce(summary);
}

function mark(found, each) {
  const inner = each.path.slice(found.dataset.path.length + 1).split("/").map(decoded);
  const line = found.querySelector(".error");
  const text = inner[0] ? `${inner.join(" ")}: ${errorText(each)}` : errorText(each);
  line.textContent = line.hidden ? text : `${line.textContent} ${text}`;
  line.hidden = false;
  for (let outside = found.closest("details"); outside; outside = outside.parentElement.closest("details")) outside.open = true;
  const row = [...found.querySelectorAll(".pair")].find((pair) => pair.firstElementChild.value.trim() === inner[0]);
  const control = (row ?? found).querySelector("input, select, textarea, button");
  const marked = row ? row.querySelectorAll("input") : found.matches("fieldset") ? [] : [control];
  for (const input of marked) {
    input.setAttribute("aria-invalid", "true");
    if (row) input.setAttribute("aria-describedby", line.id);
  }
  found.addEventListener("input", () => clear(found), { once: true });
  return control;
}

export function clearErrors(form) {
  form.querySelectorAll("[data-path]").forEach(clear);
}

function clear(found) {
  const line = found.querySelector(".error");
  line.hidden = true;
  line.textContent = "";
  found.querySelectorAll("[aria-invalid]").forEach((input) => input.removeAttribute("aria-invalid"));
}

export function errorText(each) {
  return each.detail ?? each.message ?? each.rule ?? "is not valid";
}

const decoded = (part) => part.replace(/~1/g, "/").replace(/~0/g, "~");
