// The choice of event types: all of them, or some from the catalogue and patterns such as order.*.

import { fill, h } from "./dom.js";
import { group } from "./fields.js";
import { byGroup, matches } from "./portal.js";
import { plural } from "./words.js";

const MAX_SHOWN = 100;

// `catalogue` is `{ types, isMore }`; `chosen` are the globs so far. `read()` answers the globs; none means all types.
export function typesPicker(catalogue, chosen) {
  const globs = new Set(chosen);
  const radio = (value, label, isChecked) => h("label", { class: "choice" }, h("input", { type: "radio", name: "which-types", value, checked: isChecked, onchange: show }), label);
  const all = radio("all", "All event types, also those that are added later", !chosen.length);
  const some = radio("some", "Only these", chosen.length > 0);
  const search = h("input", { type: "search", "aria-label": "Search event types", placeholder: "Search event types", autocomplete: "off", oninput: showTypes });
  const glob = h("input", {
    "aria-label": "Pattern", placeholder: "order.*", autocomplete: "off", spellcheck: "false",
    onkeydown: (event) => { if (event.key === "Enter") { event.preventDefault(); addGlob(); } },
  });
  const picked = h("ul", { class: "chips", "aria-label": "Chosen event types" });
  const list = h("div", { class: "type-list" });
  const details = h("div", { class: "picker" }, picked, search, list,
    h("div", { class: "line" }, glob, h("button", { type: "button", onclick: addGlob }, "Add pattern"),
      h("span", { class: "help" }, "A pattern such as ", h("code", {}, "order.*"), " also matches types that are added later.")));

  function isSome() {
    return some.firstElementChild.checked;
  }

  function show() {
    details.hidden = !isSome();
    showPicked();
    showTypes();
  }

  function addGlob() {
    if (glob.value.trim()) globs.add(glob.value.trim());
    glob.value = "";
    show();
    glob.focus();
  }

  function showPicked() {
    picked.hidden = !globs.size;
    fill(picked, [...globs].map((each) => h("li", { class: "chip" }, each,
      h("button", { type: "button", "aria-label": `Remove ${each}`, onclick: () => { globs.delete(each); show(); search.focus(); } }, "×"))));
  }

  function showTypes() {
    const text = search.value.trim().toLowerCase();
    const found = catalogue.types.filter((type) => !type.deprecated || globs.has(type.name))
      .filter((type) => `${type.name} ${type.description ?? ""} ${type.group ?? ""}`.toLowerCase().includes(text));
    const rest = found.length - MAX_SHOWN;
    fill(list,
      !catalogue.types.length && h("p", { class: "help" }, "The catalogue is empty. Add a pattern below."),
      catalogue.types.length > 0 && !found.length && h("p", { class: "help" }, "No event type matches the search."),
      byGroup(found.slice(0, MAX_SHOWN)).map(([name, types]) => h("fieldset", { class: "types-group" }, name && h("legend", {}, name), types.map(box))),
      (rest > 0 || catalogue.isMore) && h("p", { class: "help" }, rest > 0 ? `${plural(rest, "more type matches", "more types match")}. Search to find them.` : "The catalogue has more types. Add one by its name below."));
  }

  function box(type) {
    const patterns = [...globs].filter((each) => each !== type.name && matches([each], type.name));
    const input = h("input", {
      type: "checkbox", value: type.name, checked: globs.has(type.name) || patterns.length > 0, disabled: patterns.length > 0,
      onchange: () => { if (input.checked) globs.add(type.name); else globs.delete(type.name); showPicked(); },
    });
    return h("label", { class: "choice" }, input, h("span", {}, h("code", {}, type.name),
      patterns.length > 0 && h("span", { class: "help" }, ` matched by ${patterns[0]}`),
      type.description && h("span", { class: "help" }, ` ${type.description}`)));
  }

  const element = group("Event types", "/types", [h("div", { class: "choices" }, all, some), details]);
  show();
  return { element, read: () => (isSome() ? [...globs] : []), isIncomplete: () => isSome() && !globs.size && !glob.value.trim(), addGlob };
}
