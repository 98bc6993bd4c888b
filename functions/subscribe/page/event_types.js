// The catalogue of event types: what each means, its schema and its examples.

import { copyButton, fill, h } from "./dom.js";
import { chip, empty, jsonView, loadFault } from "./pieces.js";
import { byGroup, eventTypes } from "./portal.js";
import { plural } from "./words.js";

const MAX_SHOWN = 200;

export function eventTypesView(main, navigate) {
  const search = h("input", { type: "search", "aria-label": "Search event types", placeholder: "Search event types", autocomplete: "off", oninput: show });
  const list = h("div", { class: "catalogue" });
  const beside = h("section", { class: "beside", "aria-label": "Event type", hidden: true });
  let catalogue = { types: [], isMore: false };
  let opened = null;
  let isLoaded = false;
  fill(main, h("h1", { tabindex: "-1" }, "Event types"), h("div", { class: "split" }, h("div", { class: "list" }, h("div", { class: "filters", role: "search" }, h("label", { class: "search" }, search)), list), beside));

  async function update(name) {
    const before = opened;
    opened = name;
    try {
      catalogue = await eventTypes();
    } catch (error) {
      fill(list, loadFault(error, () => update(name)));
      return;
    }
    const type = catalogue.types.find((each) => each.name === name);
    main.classList.toggle("opened", Boolean(type));
    beside.hidden = !type;
    if (type) open(type);
    if (!isLoaded) show();
    isLoaded = true;
    for (const link of list.querySelectorAll("a")) {
      if (link.dataset.name === name) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
      if (before && !name && link.dataset.name === before) link.focus();
    }
  }

  function show() {
    const text = search.value.trim().toLowerCase();
    const found = catalogue.types.filter((type) => `${type.name} ${type.description} ${type.group}`.toLowerCase().includes(text));
    const rest = found.length - MAX_SHOWN;
    fill(list,
      !found.length && empty(text ? "No event type matches" : "The catalogue is empty", h("p", {}, text ? "Search for another word." : "The operator has described no event types yet.")),
      byGroup(found.slice(0, MAX_SHOWN)).map(([name, types]) => [
        name && h("h2", {}, name),
        h("ul", { class: "rows types", "aria-label": name || "Event types" }, types.map((type) => h("li", {}, h("a", { href: `#/event-types/${encodeURIComponent(type.name)}`, "data-name": type.name },
          h("span", { class: "what" }, h("strong", {}, type.name), h("span", { class: "faint" }, type.description)),
          type.deprecated && chip("Deprecated", "waiting")))))]),
      rest > 0 && h("p", { class: "faint" }, `${plural(rest, "more type", "more types")}. Search to find them.`),
      catalogue.isMore && h("p", { class: "faint" }, "Only the first 1,000 types are shown here."));
  }

  function open(type) {
    const hasSchema = Object.keys(type.schema).length > 0;
    fill(beside,
      h("div", { class: "title-line" }, h("h2", { tabindex: "-1" }, type.name), h("button", { type: "button", class: "close", onclick: () => navigate("event-types") }, "Close")),
      type.deprecated && h("p", {}, chip("Deprecated", "waiting"), " It may end: use another type."),
      type.description && h("p", { class: "description" }, type.description),
      type.examples.map((example, at) => {
        const label = type.examples.length > 1 ? `Example ${at + 1}` : "Example";
        return [h("div", { class: "title-line" }, h("h3", {}, label), copyButton(JSON.stringify(example, null, 2), `the ${label.toLowerCase()}`)), jsonView(example, label)];
      }),
      hasSchema && [h("h3", {}, "JSON Schema of its data"), jsonView(type.schema, "JSON Schema")],
      !hasSchema && !type.examples.length && h("p", { class: "faint" }, "Its data is not described."));
    beside.querySelector("h2").focus();
  }

  return { title: "Event types", update, keepsFocus: true, close: () => main.classList.remove("opened") };
}
